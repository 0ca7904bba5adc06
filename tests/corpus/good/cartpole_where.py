# env: CartPole-v1
import jax
import jax.numpy as jnp


def reward(state, action, next_state):
    angle = jnp.abs(next_state["pole_angle"])
    safe = jnp.logical_and(angle < 0.2, jnp.abs(next_state["cart_position"]) < 2.0)
    total = jnp.where(safe, 1.0 - angle / 0.2, -1.0)
    smooth = jax.nn.sigmoid(10 * (0.1 - angle))
    return total + smooth, {"safe": safe, "smooth": smooth}
