def reward(state, action, next_state):
    match state:
        case object(__class__=c):
            return c
    return 1.0
