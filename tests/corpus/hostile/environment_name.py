def reward(state, action, next_state):
    return env.step_env(None, state, action, params)[2]
