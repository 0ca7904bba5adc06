"""An author by rules that reads what it is shown: for the swinging cart, through the real prompts.

It begins with a reward for balancing alone. From then on it takes the best program out of the
prompt, with the table of what became of it, and changes what the table says is lacking: where no
zone is ever entered it pays for entering one, where the pole falls it pays more for standing, and
where neither is wrong it asks for more of what brings fitness.
"""

import re

PROGRAM = """\
def reward(state, action, next_state):
    upright = {upright} * (1.0 - jnp.abs(next_state.pole_angle) / 0.42)
    entered = jnp.where(next_state.last_touched != state.last_touched, {entered}, 0.0)
    side = jnp.where(next_state.last_touched == 1, -1.0, 1.0)
    toward = {toward} * jnp.clip(side * next_state.cart_velocity, -1.0, 1.0)
    strayed = jnp.maximum(jnp.abs(next_state.cart_position) - next_state.swing_threshold - 0.3, 0.0)
    stray = -{stray} * strayed
    total = upright + entered + toward + stray
    return total, {{"upright": upright, "entered": entered, "toward": toward, "stray": stray}}
"""
DUPLICATE = r"this is program \w+ again|its rewards are those of program"
"""How a candidate is refused that is no other than an earlier one."""
FIRST = {"upright": 1.0, "entered": 0.0, "toward": 0.0, "stray": 0.0}
WEIGHTS = {
    "upright": r"upright = ([\d.]+) \*",
    "entered": r"state\.last_touched, ([\d.]+), 0\.0",
    "toward": r"toward = ([\d.]+) \*",
    "stray": r"stray = -([\d.]+) \*",
}


def engineer(prompt):
    """The answer to a prompt of `ModelProposer`: three programs, and what they are for."""
    text = prompt.turns[0].text
    wanted = int(re.search(r"Write (\d+) program", text)[1])
    if "The best program so far" not in text:
        ideas = [FIRST | {"stray": weight} for weight in (0.0, 1.0, 3.0)]
        return _answer("First it must balance.", ideas[:wanted])
    best = text[text.index("The best program so far") :]
    weights = {name: float(re.search(pattern, best)[1]) for name, pattern in WEIGHTS.items()}
    length, entered = (
        _last(best, "episode length"),
        _last(best, r"component entered \(mean a step\)"),
    )
    # Where its last ideas were no improvement the best is still the same: change it by more.
    more = 1 + 0.4 * len(re.findall(DUPLICATE, text))
    if not entered:
        why = "It balances and goes nowhere: pay for entering the other zone."
        ideas = [weights | {"entered": 20.0 * k, "toward": 0.2 * k} for k in (1, 2, 3)]
    elif length < 1500:
        why = f"It falls after {length:.0f} steps: standing must be worth more beside the rest."
        ideas = [weights | {"upright": weights["upright"] * k * more} for k in (1.5, 2.0, 3.0)]
    else:
        why = f"A step brings {entered:.3g} of entering: ask for more, in different ways."
        ideas = [
            weights | {"entered": weights["entered"] * 1.7 * more},
            weights | {"toward": weights["toward"] * 2.0 * more + 0.1},
            weights | {"entered": weights["entered"] * 1.3 * more, "toward": 0.0, "stray": 0.5},
        ]
    return _answer(why, ideas[:wanted])


def _last(text, row):
    """The last value of a row of the table."""
    return float(re.search(rf"^{row}: \[.*?([-\d.e+]+)\]", text, re.MULTILINE)[1])


def _answer(why, ideas):
    programs = (PROGRAM.format(**{n: round(w, 3) for n, w in idea.items()}) for idea in ideas)
    return f"{why}\n\n" + "\n".join(f"```python\n{program}```\n" for program in programs)
