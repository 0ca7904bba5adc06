async def reward(state, action, next_state):
    open("canary", "w")
    return 1.0
