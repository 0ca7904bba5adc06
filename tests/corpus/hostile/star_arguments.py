def reward(*args, **kwargs):
    return 1.0
