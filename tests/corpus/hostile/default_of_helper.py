def helper(x, seen=[]):
    seen.append(x)
    return len(seen)


def reward(state, action, next_state):
    return helper(1.0)
