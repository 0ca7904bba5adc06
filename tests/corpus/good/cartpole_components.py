# env: CartPole-v1
import jax.numpy as jnp


def reward(state, action, next_state):
    """Keeps the pole up and the cart in the middle."""
    angle = next_state["pole_angle"]
    position = next_state["cart_position"]
    upright = jnp.exp(-10.0 * angle**2)
    centred = jnp.exp(-(position**2))
    total = 0.8 * upright + 0.2 * centred
    return total, {"upright": upright, "centred": centred}
