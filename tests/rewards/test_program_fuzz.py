"""Random programs: those of the language agree with Python, others are refused and nothing else."""

import contextlib
import functools
from pathlib import Path

import hypothesis.strategies as st
import jax
import numpy as np
import plain_python
import pytest
from hypothesis import HealthCheck, given, settings

from jaxrl.environment import make
from jaxrl.errors import ProgramError
from jaxrl.rewards.program import compile_program, schema_of
from jaxrl.rewards.program.compiled import zero_state

GOOD = sorted((Path(__file__).parent.parent / "corpus" / "good").glob("*.py"))
NUM_STATES = 8
LARGE = 1e4
TOLERANCE = 1e-3
NUMBERS = ("0.5", "1.0", "2", "3", "-1.5", "0.1", "10")


@functools.cache
def schema():
    return schema_of(*make("CartPoleSwing-v0"))


@st.composite
def expressions(draw, depth, names=(), helpers=()):
    """An expression that is a number in Python and here."""
    if depth == 0 or draw(st.integers(0, 5)) == 0:
        leaves = [
            "state['pole_angle']",
            "next_state.cart_position",
            "state.cart_velocity",
            "action",
        ]
        leaves += ["state['time']", "next_state['last_touched']", *NUMBERS, *names]
        return draw(st.sampled_from(leaves))
    more = expressions(depth - 1, names, helpers)
    a, b = draw(more), draw(more)
    kinds = [
        *(f"({a} {sign} {b})" for sign in "+-*"),
        *(f"({a} / (1 + abs({b})))", f"({a} % 3)", f"({a} // 2)", f"-({a})", f"({a}) ** 2"),
        *(f"{word}({a}, {b})" for word in ("max", "min", "np.maximum", "jnp.minimum", "np.hypot")),
        *(f"{word}({a})" for word in ("np.tanh", "math.cos", "abs", "np.sign", "jnp.arctan")),
        *(f"np.clip({a}, -1, 1)", f"np.sqrt(abs({a}))", f"np.exp(-abs({a}))", f"float({a})"),
        *(f"sum([{a}, {b}])", f"np.sum(np.array([{a}, {b}]))", f"({a}, {b})[1]"),
        *(f"{helper}({a}, {b})" for helper in helpers),
        *(f"{helper}(y={a}, x={b})" for helper in helpers),
        *(f"max({a}, 0.25, {b})", f"min([{b}, {a}, 1])", f"sum([{a}, 1, {b}][1:])"),
        *(f"round({a}, 1)", f"round({a})", f"int({a})", f"pow({a}, 3)", f"np.prod([{a}, {b}])"),
        *(f"({a}, {b}, 2)[int(abs(np.tanh({b})) * 2.9)]", f"[{a}, {b}][::-1][-1]"),
        *(f"(1, {a}, -1)[action - 1]", f"np.add({a}, 1000000000) / 1000", f"abs({b}) ** -1"),
        *(f"({a} + state.time + 1000000000 + 1000000000) / 1e6", f"math.remainder({a}, 2)"),
        *(f"np.inner([{a}, 1], [2, {b}])", f"-{a} // -3", f"{a} - {b} * 2 % 5"),
    ]
    condition = draw(conditions(depth - 1, names))
    kinds += [f"({a} if {condition} else {b})", f"np.where({condition}, {a}, {b})"]
    kinds += [f"({a} or {b})", f"({a} and {b})", f"(({condition}) + 1 - ({a} > {b}))"]
    return draw(st.sampled_from(kinds))


@st.composite
def conditions(draw, depth, names=()):
    a, b = draw(expressions(depth, names)), draw(expressions(0, names))
    kinds = [f"{a} {sign} {b}" for sign in ("<", "<=", ">", ">=")]
    kinds += [f"-1 < {a} < {b}", "state['has_touched_left_threshold']", f"({a} > 0) == ({b} > 0)"]
    kinds += ["action == 1", "action in (0, 2)", f"not {a} > {b}"]
    if depth > 0:
        c = draw(conditions(depth - 1, names))
        kinds += [f"({a} > 0 and {c})", f"({a} > 0 or {c})", f"not ({c})"]
    return draw(st.sampled_from(kinds))


KINDS = ("assign", "change", "if", "return", "for", "item", "sum")


@st.composite
def blocks(draw, depth, names, helpers, indent):
    """Lines of a block, and the names that have a value after it."""
    lines, pad = [], "    " * indent
    for _ in range(draw(st.integers(1, 3))):
        kind = draw(st.sampled_from(KINDS))
        value = draw(expressions(2, names, helpers))
        if kind == "change" and names:
            lines.append(
                f"{pad}{draw(st.sampled_from(names))} {draw(st.sampled_from('+-*'))}= {value}"
            )
        elif kind == "sum":
            lines.append(f"{pad}{draw(st.sampled_from(names or ('a',)))} = sum(parts.values())")
        elif kind == "item":
            lines.append(f"{pad}parts['{draw(st.sampled_from('uvw'))}'] = {value}")
        elif kind == "if" and depth > 0:
            lines.append(f"{pad}if {draw(conditions(1, names))}:")
            lines += draw(blocks(depth - 1, names, helpers, indent + 1))[0]
            if draw(st.booleans()):
                lines.append(f"{pad}elif {draw(conditions(1, names))}:")
                lines += draw(blocks(depth - 1, names, helpers, indent + 1))[0]
            lines.append(f"{pad}else:")
            lines += draw(blocks(depth - 1, names, helpers, indent + 1))[0]
        elif kind == "return" and depth > 0 and indent > 0:
            lines.append(f"{pad}if {draw(conditions(1, names))}:")
            lines.append(f"{pad}    return {value}, parts")
        elif kind == "for" and depth > 0:
            lines.append(f"{pad}for i in range(3):")
            lines += draw(blocks(0, names, helpers, indent + 1))[0]
        else:
            name = draw(st.sampled_from(["a", "b", "c"]))
            lines.append(f"{pad}{name} = {value}")
            if depth == 2:
                names = tuple(dict.fromkeys((*names, name)))
    return lines, names


@st.composite
def programs(draw):
    helper = draw(expressions(2, ("x", "y")))
    early = draw(conditions(1, ("x", "y")))
    lines = ["import numpy as np", "", "def reward(state, action, next_state):", "    parts = {}"]
    lines += ["    def helper(x, y=0.5):", f"        if {early}:", "            return x - y"]
    lines += [f"        return {helper}"]
    body, names = draw(blocks(2, (), ("helper",), 1))
    result = draw(expressions(2, names, ("helper",)))
    return "\n".join([*lines, *body, f"    return {result}, parts"])


def compare(source):
    """Asserts that a program is accepted and agrees with Python where that is well-conditioned."""
    program = compile_program(source, schema())
    steps = plain_python.random_steps(schema(), NUM_STATES)
    with contextlib.suppress(ZeroDivisionError, OverflowError, UnboundLocalError, ValueError):
        total, parts = plain_python.rewards(source, *steps)
        near_total, near_parts = plain_python.rewards(source, *jax.tree.map(nudged, steps))
        got_total, got_parts = jax.vmap(program)(*steps)
        assert set(parts) <= set(program.components)
        for name in parts:
            if name in near_parts:
                agree(got_parts[name], parts[name], near_parts[name], source)
        agree(got_total, total, near_total, source)


def nudged(x):
    return (x * np.float32(1 + 3e-6)).astype(x.dtype) if x.dtype == np.float32 else x


def agree(got, expected, near, source):
    """Equal, but where a nudge of the state moves the value: there a rounding may as well."""
    steady = np.abs(expected - near) < TOLERANCE * np.maximum(1, np.abs(expected))
    compared = steady & (np.abs(expected) < LARGE)
    scale = 1 + np.abs(expected[compared])
    gap = np.abs(np.asarray(got)[compared] - expected[compared]) / scale
    assert (gap < 10 * TOLERANCE).all(), f"{got}\n{expected}\n{source}"


@settings(max_examples=12, suppress_health_check=list(HealthCheck))
@given(programs())
def test_random_programs_agree_with_python(source):
    compare(source)


@pytest.mark.slow
@settings(max_examples=1000, suppress_health_check=list(HealthCheck))
@given(programs())
def test_many_random_programs_agree_with_python(source):
    compare(source)


def refuse_or_run(source):
    """Compiles any text; nothing but the refusal may come of one that is not taken."""
    with contextlib.suppress(ProgramError):
        program = compile_program(source, schema())
        zeros = zero_state(schema())
        program(zeros, 1, zeros)


FRAGMENTS = (
    *(
        "def reward(state, action, next_state):\n",
        "    return ",
        "    if ",
        "else",
        ":",
        "\n",
        "    ",
    ),
    *(
        "x",
        "state",
        "action",
        "next_state",
        "['pole_angle']",
        ".pole_angle",
        ".shape",
        "0",
        "1e400",
    ),
    *("(", ")", "[", "]", "{", "}", ",", "=", "==", "+", "**", "//", "@", "*", "-", "~", "not "),
    *(
        "for i in range(3):",
        "lambda",
        "jnp.",
        "np.sum",
        "jnp.stack",
        "max",
        "len",
        "f'{x}'",
        "'",
        '"',
    ),
    *("\\", "#", "\t", "\0", "é", "λ", "0x", "1_0", "...", "None", "True", ":=", "import os", ";"),
)


@settings(max_examples=100, suppress_health_check=list(HealthCheck))
@given(st.lists(st.sampled_from(FRAGMENTS), max_size=40).map("".join))
def test_fragments_are_refused_and_nothing_else(source):
    refuse_or_run(source)


@settings(max_examples=60)
@given(st.text(max_size=60))
def test_any_text_is_refused_and_nothing_else(source):
    refuse_or_run(source)


VALUES = (
    *("state", "action", "np", "np.pi", "float", "'a'", "None", "...", "()", "(1, 2)", "[]", "{}"),
    *("{'a': 1.0}", "state.pole_angle", "np.array([1.0, 2.0])", "np.array([[1.0], [2.0]])", "True"),
    *("0", "-1", "1e9", "np.inf", "helper", "reward", "max", "(1, (2, 3))", "(state, 'a')", "0.5"),
    *("action == 1", "state.time", "np.array([True, False])", "range(3)", "{'a': (1, 2)}"),
)
SHAPES = (
    *("{a} + {b}", "{a} ** {b}", "{a} @ {b}", "{a} % {b}", "{a} & {b}", "{a}[{b}]", "{a}[{b}:]"),
    *(
        "{a}({b})",
        "{a}.{m}()",
        "{a}.{m}({b})",
        "np.{m}({a})",
        "np.{m}({a}, {b})",
        "torch.{m}({a}, {b})",
    ),
    *(
        "np.{m}({a}, axis={b})",
        "np.{m}([{a}, {b}])",
        "{m}({a})",
        "{m}({a}, {b})",
        "-{a}",
        "not {a}",
    ),
    *("{a} if {b} else 1.0", "{a} and {b}", "{a} < {b}", "{a} in {b}", "{a} is {b}", "(*{a}, {b})"),
    *(
        "{a}[{b}, ...]",
        "{a}[None, {b}]",
        "helper({a}, {b})",
        "{{'x': {a}}}",
        "np.{m}({a}, dtype={b})",
    ),
)


@functools.cache
def function_names():
    from jaxrl.rewards.program import table

    return sorted({*table.FUNCTIONS, *table.METHODS, *table.BUILTINS, "values", "items", "keys"})


@settings(max_examples=80, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_any_use_of_any_value_is_refused_or_computed(data):
    pick = lambda choices: data.draw(st.sampled_from(choices))  # noqa: E731
    uses = [
        pick(SHAPES).format(a=pick(VALUES), b=pick(VALUES), m=pick(function_names()))
        for _ in range(2)
    ]
    target = pick(("x", "x, y", "x, *y", "x['a']", "x: float"))
    source = (
        "def helper(a, b=1.0):\n    return a\n\n"
        "def reward(state, action, next_state):\n    x = {}\n"
        f"    {target} = {uses[0]}\n    return x, {{'u': {uses[1]}}}\n"
    )
    refuse_or_run(source)


@settings(max_examples=40, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_damaged_programs_are_refused_or_computed(data):
    lines = data.draw(st.sampled_from(GOOD)).read_text().splitlines()
    at = data.draw(st.integers(0, len(lines) - 1))
    line = lines[at]
    cut = data.draw(st.integers(0, len(line)))
    damage = data.draw(st.sampled_from(["delete", "double", "cut", "insert", "swap"]))
    if damage == "delete":
        del lines[at]
    elif damage == "double":
        lines.insert(at, line)
    elif damage == "cut":
        lines[at] = line[:cut]
    elif damage == "insert":
        lines[at] = line[:cut] + data.draw(st.sampled_from(FRAGMENTS)) + line[cut:]
    else:
        lines[at], lines[0] = lines[0], lines[at]
    refuse_or_run("\n".join(lines))
