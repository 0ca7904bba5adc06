def reward(state, action, next_state):
    import subprocess

    subprocess.run(["touch", "canary"])
    return 1.0
