def reward(state, action, next_state):
    return reward.func_globals
