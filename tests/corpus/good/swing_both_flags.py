# env: CartPoleSwing-v0
import numpy as np


def reward(state, action, next_state):
    both = next_state["has_touched_left_threshold"] & next_state["has_touched_right_threshold"]
    either = next_state["has_touched_left_threshold"] | next_state["has_touched_right_threshold"]
    bonus = np.select([both, either], [100.0, 10.0], default=0.0)
    return 1.0 + 0.01 * bonus, {"bonus": bonus}
