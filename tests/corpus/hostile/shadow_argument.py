def reward(state, action, jnp):
    return jnp["pole_angle"]
