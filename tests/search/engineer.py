"""An author by rules that reads what it is shown: for the swinging cart, through the real prompts.

It begins with a reward for balancing alone. From then on it takes the best program out of the
prompt, with the table of what became of it, and changes what the table says is lacking: where no
zone is ever entered it pays for entering one, where the pole falls it makes standing worth more,
and where neither is wrong it asks for more of what brings fitness, or takes away what hinders it.
By how much is drawn anew for every prompt, so that while the best stays the same its children
differ.
"""

import random
import re

PROGRAM = """\
def reward(state, action, next_state):
    upright = {upright} * (1.0 - {lean} * jnp.abs(next_state.pole_angle) / 0.21)
    entered = jnp.where(next_state.last_touched != state.last_touched, {entered}, 0.0)
    side = jnp.where(next_state.last_touched == 1, -1.0, 1.0)
    toward = {toward} * jnp.clip(side * next_state.cart_velocity, -1.0, 1.0)
    strayed = jnp.maximum(jnp.abs(next_state.cart_position) - next_state.swing_threshold - 0.3, 0.0)
    stray = -{stray} * strayed
    total = upright + entered + toward + stray
    return total, {{"upright": upright, "entered": entered, "toward": toward, "stray": stray}}
"""
FIRST = {"upright": 1.0, "lean": 0.5, "entered": 0.0, "toward": 0.0, "stray": 0.0}
WEIGHTS = {
    "upright": r"upright = ([\d.]+) \*",
    "lean": r"\(1\.0 - ([\d.]+) \*",
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
    best = weights_of(text[text.index("The best program so far") :])
    length, entered = (
        _last(text, "episode length"),
        _last(text, r"component entered \(mean a step\)"),
    )
    dice = random.Random(text)

    def about(value):
        return value * dice.uniform(0.75, 1.35)

    if not entered:
        why = "It balances and goes nowhere: pay for entering the other zone."
        ideas = [
            best | {"entered": about(15.0)},
            best | {"entered": about(40.0)},
            best | {"entered": about(25.0), "toward": about(0.2)},
        ]
    elif length < 1500:
        why = f"It falls after {length:.0f} steps: standing must be worth more beside the rest."
        ideas = [
            best | {"upright": about(best["upright"] * 2.0)},
            best | {"entered": about(best["entered"] * 0.5)},
            best | {"toward": 0.0, "stray": about(best["stray"] + 0.5)},
        ]
    else:
        why = f"A step brings {entered:.3g} of entering: ask for more, or forbid less."
        ideas = [
            best | {"entered": about(best["entered"] * 1.5)},
            # A cart that hurries leans.
            best | {"lean": about(best["lean"] * 0.5)},
            best | {"entered": about(best["entered"]), "toward": about(0.1), "stray": about(0.3)},
        ]
    return _answer(why, ideas[:wanted])


def weights_of(program):
    """The numbers in a program of this author's."""
    return {name: float(re.search(pattern, program)[1]) for name, pattern in WEIGHTS.items()}


def _last(text, row):
    """The last value of a row of the table, which only the best program has."""
    return float(re.search(rf"^{row}: \[.*?([-\d.e+]+)\]", text, re.MULTILINE)[1])


def _answer(why, ideas):
    programs = (PROGRAM.format(**{n: round(w, 3) for n, w in idea.items()}) for idea in ideas)
    return f"{why}\n\n" + "\n".join(f"```python\n{program}```\n" for program in programs)
