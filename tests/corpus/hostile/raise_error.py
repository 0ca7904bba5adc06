def reward(state, action, next_state):
    raise SystemExit(1)
