# env: LunarLander-v3
def reward(state, action, next_state):
    legs = sum([next_state["left_leg_contact"], next_state["right_leg_contact"]])
    bonus = 0
    if legs == 2:
        bonus = 1.0
    elif legs == 1:
        bonus = 0.25
    fire = 1 if action in (1, 2, 3) else 0
    height = next_state["height_above_ground"]
    return bonus - 0.05 * fire - 0.01 * max(height, 0), {"legs": bonus, "fire": -0.05 * fire}
