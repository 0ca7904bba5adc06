# env: LunarLander-v3
import jax.numpy as jnp


def reward(state, action, next_state):
    near = jnp.exp(-0.3 * next_state["distance_to_pad"])
    slow = 1.0 / (1.0 + next_state["x_velocity"] ** 2 + next_state["y_velocity"] ** 2)
    upright = 1.0 - jnp.tanh(jnp.abs(next_state["angle"]) / 0.3)
    gate = jnp.where(next_state["over_pad"], 1.0, 0.3)
    closer = jnp.maximum(state["distance_to_pad"] - next_state["distance_to_pad"], 0.0)
    wind = jnp.log1p(jnp.abs(next_state["wind_force"]))
    total = gate * (near + slow + upright) + 5.0 * closer - 0.01 * wind
    return total, {"near": near, "slow": slow, "upright": upright, "closer": closer}
