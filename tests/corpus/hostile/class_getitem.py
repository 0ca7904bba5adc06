class T:
    def __class_getitem__(cls, item):
        open("canary", "w")


def reward(state: T["x"], action, next_state):
    return 1.0
