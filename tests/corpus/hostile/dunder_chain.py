def reward(state, action, next_state):
    return ().__class__.__base__.__subclasses__()[0]
