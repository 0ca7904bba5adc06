"""The language of reward programs: what it computes, what it says no to, and what a program is."""

import json
import textwrap

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrl.errors import ConfigError, JaxrlError, ProgramError
from jaxrl.rewards.program import (
    RewardProgram,
    compile_program,
    compile_rule,
    diff,
    for_author,
    schema_of,
)
from jaxrl.rewards.program.compiled import zero_state
from jaxrl.rewards.program.schema import ActionSchema, Quantity, Schema

WORLD = Schema(
    "World",
    (
        Quantity("x", "m", "somewhere"),
        Quantity("y", "m", "elsewhere"),
        Quantity("count", "steps", "a count", (), "int32"),
        Quantity("flag", "bool", "a truth", (), "bool"),
        Quantity("place", "m", "a point", (3,)),
    ),
    ActionSchema(3),
)
STATE = {
    "x": jnp.float32(2.0),
    "y": jnp.float32(-0.5),
    "count": jnp.int32(7),
    "flag": jnp.bool_(True),
    "place": jnp.array([3.0, 4.0, 0.0]),
}

MODULES = ("np", "jnp", "torch")


def program(body, schema=WORLD):
    """A program of a body, which may call the states `s` and `n`."""
    head = "def reward(s, a, n):\n" if "def reward" not in body else ""
    lines = textwrap.dedent(body).strip()
    return compile_program(head + (textwrap.indent(lines, "    ") if head else lines), schema)


def value(body, action=1):
    return float(program(body)(STATE, action, STATE)[0])


def refusal(body):
    with pytest.raises(ProgramError) as error:
        program(body)
    return error.value.refusals[0]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("return s['x'] + n.y", 1.5),
        ("return -s.x ** 2", -4.0),
        ("return 2 ** s.x", 4.0),
        ("return 7 // 2 + 7 % 4 + 2 ** 3", 14.0),
        ("return s.y % 2", 1.5),
        ("return s.y // 1", -1.0),
        ("return s.count / 2", 3.5),
        ("return s.count * s.count * s.count * s.count * s.count * s.count * 1e6", 117649e6),
        ("return s.count ** 12", 7.0**12),
        ("return s.flag + s.flag", 2.0),
        ("return ~s.flag + 0.5", 0.5),
        ("return (s.flag & (s.x > 1)) * 3", 3.0),
        ("return not s.flag", 0.0),
        ("return s.x > 1 > s.y > -1", 1.0),
        ("return s.y or 3", -0.5),
        ("return 0 or s.x", 2.0),
        ("return s.x and s.y", -0.5),
        ("return 5.0 if s.x < s.y else 6.0 if s.flag else 7.0", 6.0),
        ("return 5.0 if True else undefined", 5.0),
        ("return a == 1 and s.count in (5, 7)", 1.0),
        ("return s.count not in (5, 7)", 0.0),
        ("return (10, 20, 30)[a]", 20.0),
        ("return (10, 20, 30)[-1] + [1, 2][0]", 31.0),
        ("return s.place[0] + s.place[-1] + s.place[1:].sum()", 7.0),
        ("return s.place[a]", 4.0),
        ("x, y, z = s.place\nreturn x * y + z", 12.0),
        ("x, y, *rest = s\nreturn x + len(rest)", 5.0),
        ("x, (y, z) = s.x, (1, 2)\nreturn x + y * z", 4.0),
        ("return s[0] + s[1]", 1.5),
        ("return np.linalg.norm(s.place)", 5.0),
        ("return torch.norm(s.place[:2], dim=0) + jnp.linalg.norm([3.0, 4.0])", 10.0),
        ("return np.sum([s.x, s.y]) + np.mean(s.place) + max(s.place)", 1.5 + 7 / 3 + 4),
        ("return torch.max(s.x, s.y) + torch.max(s.place) + np.max(s.place, 0)", 10.0),
        ("return np.array([1.0, 3.0]).std() + np.std([1.0, 3.0])", 2.0),
        ("return torch.std(torch.tensor([1.0, 3.0]))", np.sqrt(2)),
        ("return s.x.clip(0, 1) + s.place.abs().sum().item()", 8.0),
        ("return np.clip(s.x, None, 1) + np.clip(s.x, a_min=3, a_max=4)", 4.0),
        ("return torch.clamp(s.x, max=1.5) + torch.where(s.flag, 1.0, 2.0)", 2.5),
        ("return math.log(8, 2) + np.log2(4) + math.hypot(3, s.place[1])", 10.0),
        ("return round(s.x / 3, 2) + round(2.5) + int(-1.7) + int(s.y * 3)", 0.67),
        ("return abs(-3) + pow(s.x, 2) + float(s.flag) + bool(s.x)", 9.0),
        ("return min(s.x, 1, 5) + max((s.y, 0.25)) + sum((1, 2), 3)", 7.25),
        ("return any((s.x > 5, s.flag)) + all([s.x > 5, s.flag])", 1.0),
        ("return np.array([1, 2, 3]) @ s.place", 11.0),
        ("return (np.array([s.x, 1.0])[:, None] * np.array([1.0, 2.0])).sum()", 9.0),
        ("return np.select([s.x > 5, s.flag], [1.0, 2.0], 3.0)", 2.0),
        ("return np.isclose(s.x, 2.0) * np.sign(s.y)", -1.0),
        ("return np.pi + math.tau * 0 + np.float32(s.count)", np.pi + 7),
        ("return np.array(s.x, dtype=np.int32) + s.y.astype(int)", 2.0),
        ("total = 0\nfor i in range(4):\n    total += i * s.x\nreturn total", 12.0),
        ("t = 0\nfor i, w in enumerate((1.0, 2.0)):\n    t += i + w\nreturn t", 4.0),
        ("t = 0\nfor n_, w in zip(('x', 'y'), (1, 2)):\n    t += s[n_] * w\nreturn t", 1.0),
        ("t = 1.0\nfor v in s.place:\n    t = t + v\nreturn t", 8.0),
        ("for i in range(5):\n    if s.count == i + 5:\n        return i\nreturn -1", 2.0),
        ("r = 0.0\nif s.x > 0:\n    r = r + 1\n    if s.y > 0:\n        r = 10\nreturn r", 1.0),
        ("if s.x > 5:\n    r = 1\nelif s.flag:\n    r = 2\nelse:\n    r = 3\nreturn r", 2.0),
        ("if s.x > 5:\n    return 1\nr = 2\nif s.flag:\n    return r\nreturn 3", 2.0),
        ("if s.x > 5:\n    return 1\nelse:\n    r = 4\nreturn r", 4.0),
        ("if True:\n    r = 1\nreturn r", 1.0),
        ("r: float = 1.0\nr -= 0.5\nr *= 4\nr /= 2\nr **= 2\nreturn r", 1.0),
        ("a_ = b_ = 2.0\nreturn a_ + b_", 4.0),
        (
            "def f(v, k=2.0, *, p=1):\n    return v * k + p\nreturn f(s.x) + f(1, k=3) + f(0, p=5)",
            14.0,
        ),
        ("def f():\n    return later\nlater = s.x\nreturn f()", 2.0),
        ("return int(-s.x * 1.2) + int(s.count / 2) + int(s.flag)", 2.0),
        ("return int(s.x * 1e9 * 1e3)", 2e12),
        ("return (s.place * 1e9).astype(int)[1] + np.int32(1.5) + torch.tensor(s.x).int()", 4e9),
        ("return s.place[np.floor(s.x).astype(int) - 1] + s.place[np.argmax(s.place)]", 8.0),
        ("return s.count + 1000000000 + 1000000000 + 1000000000", 3e9),
        (
            "t = s.count\nfor i in (0, 1):\n    for j in range(16):\n        t += t\nreturn t",
            7 * 2**32,
        ),
        ("return sum([s.count, 1000000000, 1000000000, 1000000000])", 3e9),
        ("return np.sum([s.count, 1000000000, 1000000000, 1000000000])", 3e9),
        ("return np.prod([s.count, 100000, 100000]) + np.add(s.count, s.count)", 7e10),
        ("i = int(s.x)\nreturn (1.0, 2.0, 4.0)[i] + (1, 2, 4)[(i - s.count) % 3]", 6.0),
        ("return s.place[(0, 2, 1)[a]] + s.place[max(-a, -2)] + s.place[round(s.x) - 1]", 4.0),
        ("return (1.0, 2.0)[a - 2] + np.array([s.place, s.place])[0, a]", 6.0),
        ("return round(s.count, -1) + round(s.x / 3, 1) + round(s.count)", 17.7),
        ("return math.remainder(5, 3) + math.remainder(s.x + 3, 3) + np.remainder(5, 3)", 0.0),
        ("return math.isclose(s.x, s.x + 1e-4) + np.isclose(s.x, s.x + 1e-5) * 2", 2.0),
        ("m = np.array([[s.x, 1], [0, 3]])\nreturn np.inner(m, m)[0, 1] + np.dot(m, m)[0, 1]", 8.0),
        ("from torch import std as wide\nreturn wide(np.array([1.0, 3.0]))", np.sqrt(2)),
        ("from math import exp, pi\nreturn exp(0.0) + pi", 1 + np.pi),
        ("d = {}\nif s.x < 0:\n    d['b'] = 9.0\nd['a'] = 2.0\nreturn sum(d.values()) + 1", 3.0),
        (
            "d = {}\nif s.x < 0:\n    d['b'] = 9\nd['b'] = 2.0\nreturn min(d.values()) if d else 0",
            2.0,
        ),
        ("return jax.nn.sigmoid(0.0) + torch.sigmoid(0.0) + jax.nn.relu(s.y)", 1.0),
    ],
)
def test_value(body, expected):
    assert value(body) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    ("body", "line", "reason", "advice"),
    [
        ("return s.z", 2, "no quantity 'z'", "there are x, y, count"),
        ("return s['plaec']", 2, "no quantity 'plaec'", "did you mean place?"),
        ("return s.place", 2, "the total has shape (3,)", "reduce it"),
        ("return 1.0, {'p': s.place}", 2, "component 'p' has shape (3,)", "reduce it"),
        ("return 1.0, {'p': (1, 2)}", 2, "component 'p' is a tuple", "make it a number"),
        ("return s", 2, "reward returns a whole state", "return total"),
        ("return", 2, "reward returns a tuple", "return total"),
        ("return None", 2, "reward returns None", "return total"),
        ("return {'a': 1.0}", 2, "reward returns a dict", "return total"),
        ("return 1.0, {'a': 1.0}, 2", 2, "reward returns a tuple", "return total"),
        ("return 1.0, {'total': 1.0}", 2, "name 'total'", "leave it out"),
        ("pass", 1, "ends without a return", "return a value"),
        ("if s.flag:\n    return 1.0", 1, "ends without a return", "return a value"),
        ("if s.flag:\n    b = 1\nreturn b", 4, "only on one path of the if in line 2", "assign b"),
        ("return later", 2, "unknown name later", "there are"),
        ("if s.flag:\n    r = r_ = 1\nr_ += 1\nreturn r_", 4, "only on one path", "before the if"),
        ("x = x + 1\nreturn x", 2, "x has no value here yet", "assign x"),
        ("x += 1\nreturn x", 2, "x has no value here yet", "assign x"),
        ("return jnp.sniff(s.x)", 2, "unknown function jnp.sniff", "use functions"),
        ("return np.sqr(s.x)", 2, "unknown function np.sqr", "did you mean sqrt"),
        ("return s.x.cip(0, 1)", 2, "method cip", "did you mean clip"),
        ("return np.clip(s.x, 0, 1, 2)", 2, "4 arguments of clip", "clip(x, min, max)"),
        ("return np.exp(s.x, out=s.y)", 2, "argument out of exp", "exp(x)"),
        ("return np.sum(s.place, axis=a)", 2, "axis of sum", "write a number"),
        ("return np.sum(s.place, axis=4)", 2, "cannot be computed", "fit"),
        ("return s.place + np.array([1.0, 2.0])", 2, "cannot be computed", "fit"),
        ("return (1, 2) + (3, 4)", 2, "a tuple in arithmetic", "jnp.array"),
        ("return s.x if s.place > 1 else 0", 2, "shape (3,) as a condition", ".any()"),
        ("return s.x is None", 2, "is and is not", "=="),
        ("return 1 / 0", 2, "division by zero", "another number"),
        ("return s.x ** 40", 2, "exponent 40", "up to 16"),
        ("return s.x ^ 2", 2, "& | or ^".replace("& |", "&, |"), "**"),
        ("r = 0\nfor i in range(s.count):\n    r += 1\nreturn r", 3, "range of what", "range(n)"),
        ("for i in range(17):\n    pass\nreturn 1", 2, "more than 16 passes", "up to 16"),
        ("x, y = s\nreturn x", 2, "5 values for 2 names", "x, y, count, flag, place"),
        ("d = {}\ne = d\nreturn 1, e", 3, "a second name for a dict", "first name"),
        ("d = {}\ndef f(p):\n    p['a'] = 1\n    return 1\nreturn f(d), d", 4, "a dict", "made"),
        ("d = {}\ndef f():\n    return d\ne = f()\nreturn 1, e", 5, "dict of another", "its own"),
        ("d = {'a': 1.0}\nreturn d['b']", 3, "no 'b'", "there are a"),
        (
            "x = 1.0\nif s.flag:\n    x = (1, 2)\nreturn x",
            5,
            "a tuple on one path",
            "before the if",
        ),
        ("if s.flag:\n    def f():\n        return 1\nreturn 1", 3, "only on some paths", "before"),
        ("def f(x):\n    return f(x)\nreturn f(1)", 3, "f calls itself", "loop"),
        ("def f(x):\n    return x\nreturn f(1, 2)", 4, "do not fit f", "f(x)"),
        ("def f(x):\n    return x\nreturn f", 4, "f without a call", "f(...)"),
        ("print(s.x)\nreturn 1", 2, "nobody uses", "leave it out"),
        ("x = None\nreturn 1", 2, "None as a value", "assign a number"),
        ("import os\nreturn 1", 2, "import of os", "leave it out"),
        ("return np.concatenate([(1, (2, 3)), s.place])[0]", 2, "different shapes", "numbers"),
        ("return np.sum((s.x, s.place))", 2, "different shapes", "numbers and arrays"),
        ("return s.place[3]", 2, "index 3 is out of bounds", "fit"),
        ("return round(s.x, 99)", 2, "round to 99 digits", "up to 15"),
        ("return np.round(s.x, -99)", 2, "round to -99 digits", "fit"),
        ("return {'a': 1.0}[a]", 2, "a number as a key", "names of the dict"),
        ("d = {}\nd[s.place] += 1\nreturn 1, d", 3, "no name of a component", "strings"),
        ("x = s.place\nx += 1\nreturn x[0]", 3, "changed in place", "x = x + y"),
        ("return ((s.place > 0) + (s.place > 1)).sum()", 2, "arrays of truths", "use |"),
        ("return np.add(s.flag, s.x > 0)", 2, "of two truths", "fit"),
        ("return torch.max(s.place, 0)[0]", 2, "torch takes a tensor there", "fit"),
        ("return torch.tensor([1.0, s.x]).std()", 2, "method std", "write np.std(x) or torch"),
        ("return np.array([torch.exp(s.x), 1]).max(0)", 2, "method max", "or torch.max(x)"),
        ("return np.linalg.norm(np.array([s.place, s.place]), 2)", 2, "norm of a matrix", "fit"),
        ("return np.sum(s.place, axis=True)", 2, "axis of sum that is no integer", "integer"),
        ("return np.array(s.x, 0.5)", 2, "a dtype that is no type", "fit"),
        ("return s.place[" + "None, " * 9 + "0]", 2, "10 indices", "up to 8"),
        ("x = s.place\nfor i in range(9):\n    x = x[None]\nreturn x.sum()", 4, "shape", "8 axes"),
        ("from math import sin as f\nimport numpy as f\nreturn f(s.x)", 3, "stands for", "another"),
        ("from math import sin as np\nreturn np(s.x)", 2, "already has a meaning", "another"),
        ("d = {}\nif s.flag:\n    d['b'] = 1\nreturn d['b'], d", 5, "only on some paths", "before"),
        ("d = {}\nif s.flag:\n    d['b'] = 1\nd['b'] += 1\nreturn 1, d", 5, "some paths", "before"),
        ("d = {}\nif s.flag:\n    d['b'] = 1\nreturn 1 if d else 0", 5, "some paths", "before"),
        (
            "d = {}\nif s.flag:\n    d['b'] = 1\nreturn max(d.values())",
            5,
            "a dict that differ by the path",
            "sum(...)",
        ),
        (
            "d = {}\nif s.flag:\n    d['b'] = 1\nfor k in d:\n    d[k] = 2\nreturn 1",
            5,
            "has b",
            "0.0",
        ),
        ("return 1.0, {'a\\nb': 1.0}", 2, "no name of a component", "strings"),
    ],
)
def test_refusal(body, line, reason, advice):
    said = refusal(body)
    assert said.line == line
    assert reason in said.reason and advice in said.advice, said


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("x = 1", "no function reward: write def reward(state, action, next_state)"),
        ("def rewrad(s, a, n):\n    return 1", "no function reward (there is rewrad)"),
        ("def reward(s):\n    return 1", "line 1: reward takes 1 arguments: write def reward("),
        ("def reward(s, a, n=1):\n    return 1", "line 1: reward takes 3 arguments"),
        ("def reward(s, a, n):\n    return 1\n" * 2, "line 1: reward is defined twice"),
        ("```python\ndef reward(s, a, n):\n    return 1\n```", "without Markdown's fences"),
        (b"def reward", "a program is text, this is bytes"),
        ("reward = 1\ndef reward(s, a, n):\n    return 1\nreward = 2", "reward is no function"),
    ],
)
def test_texts_without_a_reward_are_refused(source, said):
    with pytest.raises(ProgramError) as error:
        compile_program(source, WORLD)
    assert said in str(error.value)


def test_all_that_is_wrong_with_the_syntax_is_said_at_once():
    source = "import os\ndef reward(s, a, n):\n    while s.x:\n        pass\n    return f'{s}'\n"
    with pytest.raises(ProgramError) as error:
        compile_program(source, WORLD)
    assert [r.line for r in error.value.refusals] == [1, 3, 5]
    text = for_author(error.value.refusals, source)
    assert "line 3: while is not in the language" in text and "      while s.x:" in text


def test_deep_programs_are_refused_or_run():
    """The nest that is allowed fits into Python's own stack, helpers inside each other too."""
    deep = "abs(" * 22 + "x" + ")" * 22
    sums = "+".join(["x"] * 8)
    helpers = "".join(
        f"def f{i}(x):\n    if x > 0:\n        return {inner} + {deep} + {sums}\n    return x\n"
        for i, inner in enumerate(["x", "-f0(x)", "-f1(x)", "-f2(x)"])
    )
    compile_program(f"{helpers}def reward(s, a, n):\n    return f3(s.x) + s.x", WORLD)
    nested = "-" * 70
    chain = "".join(
        f"def g{i}(x):\n    return {nested}{inner}\n"
        for i, inner in enumerate(["x", "g0(x)", "g1(x)", "g2(x)"])
    )
    with pytest.raises(ProgramError, match="nested too deep"):
        compile_program(f"{chain}def reward(s, a, n):\n    return {nested}g3(s.x)", WORLD)


def test_components_that_a_path_lacks_count_nothing():
    body = """
    parts = {"always": 1.0}
    if s.x > 5:
        return -1.0, {"crash": -1.0}
    if s.flag:
        parts["sometimes"] = 2.0
    return sum(parts.values()), parts
    """
    made = program(body)
    total, components = made(STATE, 0, STATE)
    assert made.components == ("crash", "always", "sometimes")
    assert (float(total), jax.tree.map(float, components)) == (
        3.0,
        {"crash": 0.0, "always": 1.0, "sometimes": 2.0},
    )
    total, components = made(STATE | {"x": 6.0, "flag": False}, 0, STATE)
    assert jax.tree.map(float, components) == {"crash": -1.0, "always": 0.0, "sometimes": 0.0}


def test_total_alone_on_one_path_has_no_components():
    made = program("if s.flag:\n    return 1.0\nreturn 2.0, {'late': 2.0}")
    assert jax.tree.map(float, made(STATE, 0, STATE)) == (1.0, {"late": 0.0})


def test_program_is_a_pure_function_under_every_transformation():
    body = """
    if s.x > 1.0:
        return jnp.exp(-s.x), {"far": s.x}
    return s.x ** 2, {"near": a * s.y}
    """
    made = program(body)
    total, _ = jax.jit(made)(STATE, 1, STATE)
    assert total.dtype == jnp.float32 and float(total) == pytest.approx(np.exp(-2.0))
    many = jax.tree.map(lambda x: jnp.broadcast_to(x, (2, 3, *x.shape)), STATE)
    totals, parts = jax.vmap(jax.vmap(made))(many, jnp.ones((2, 3), jnp.int32), many)
    assert totals.shape == parts["near"].shape == (2, 3)
    slope = jax.grad(lambda x: made(STATE | {"x": x}, 1, STATE)[0])
    assert float(slope(0.5)) == pytest.approx(1.0)
    assert float(slope(2.0)) == pytest.approx(-np.exp(-2.0))


def test_indices_beyond_the_end_and_integers_of_no_number_are_no_numbers():
    assert np.isnan(value("return (1.0, 2.0)[a]", action=2))
    assert np.isnan(value("return (1, 2)[a]", action=2))
    assert np.isnan(value("return s.place[s.count]"))
    assert np.isnan(value("return int(np.log(s.y))"))
    assert value("return (1.0, 2.0)[a]", action=-2) == 1.0


def test_quantities_of_narrow_types_do_not_wrap_around():
    schema = Schema("Narrow", (Quantity("lives", "", "", (), "uint8"),), ActionSchema(2))
    made = program("return s.lives - 5", schema)
    assert float(made({"lives": jnp.uint8(3)}, 0, {"lives": jnp.uint8(3)})[0]) == -2.0


def test_values_are_right_where_the_other_path_has_none():
    """As the docstring of `statements` says: selected values hold, gradients need not."""
    made = program("if s.y > 0:\n    return jnp.sqrt(s.y)\nreturn -1.0")
    assert float(made(STATE, 0, STATE)[0]) == -1.0
    assert np.isnan(jax.grad(lambda y: made(STATE | {"y": y}, 0, STATE)[0])(-0.5))


def test_id_is_that_of_what_is_computed():
    one = program('def reward(s, a, n):\n    """Doc."""\n    return np.exp(s.x)  # so\n')
    same = program(
        "import jax.numpy as jn\ndef reward(s: dict, a, n) -> float:\n    return jn.exp( s.x )"
    )
    typed = program("def reward(s, a, n):\n    z: float = s.x\n    return torch.exp(z)")
    plain = program("def reward(s, a, n):\n    z = s.x\n    return jnp.exp(z)")
    other = program("def reward(s, a, n):\n    return np.exp(s.y)")
    assert one.id == same.id and one == same and hash(one) == hash(same)
    assert typed.id == plain.id
    assert len({one.id, typed.id, other.id}) == 3
    sine = program("from math import sin as f\ndef reward(s, a, n):\n    return f(s.x)")
    cosine = program("from math import cos as f\ndef reward(s, a, n):\n    return f(s.x)")
    spelled = program("def reward(s, a, n):\n    return np.sin(s.x)")
    assert sine.id == spelled.id != cosine.id
    deviations = [program(f"def reward(s, a, n):\n    return {m}.std(s.place)") for m in MODULES]
    assert [one.id == deviations[0].id for one in deviations] == [True, True, False]
    # The digits are what a stored program is found by, whatever the version of Python.
    assert one.id == "f814bed19d5be518"


def test_archive_keeps_the_program_and_where_it_comes_from(tmp_path):
    source = "def reward(s, a, n):\n    return s.x, {'x': s.x}\n"
    made = compile_program(source, WORLD, parent="abc", provenance={"model": "m", "iteration": 3})
    path = made.save(tmp_path / "program.json")
    again = RewardProgram.load(path)
    assert again == made and again.source == source and again.schema == WORLD
    assert (again.parent, dict(again.provenance)) == ("abc", {"model": "m", "iteration": 3})
    assert (again.components, again.reads) == (("x",), ("x",))
    assert float(again(STATE, 0, STATE)[0]) == 2.0

    data = json.loads(path.read_text())
    path.write_text(json.dumps(data | {"source": source.replace("s.x,", "s.y,")}))
    with pytest.raises(JaxrlError, match="was changed"):
        RewardProgram.load(path)
    path.write_text(json.dumps(data | {"format": 99}))
    with pytest.raises(JaxrlError, match="format 99"):
        RewardProgram.load(path)
    path.write_text("{")
    with pytest.raises(JaxrlError, match="not JSON"):
        RewardProgram.load(path)


def test_diff_shows_what_a_child_changed():
    lines = diff("a = 1\nb = 2\n", "a = 1\nb = 3\n").splitlines()
    assert lines[-2:] == ["-b = 2", "+b = 3"] and diff("a", "a") == ""


def test_schema_says_what_there_is(cartpole):
    schema = schema_of(*cartpole)
    assert schema.names[:2] == ("cart_position", "cart_velocity")
    assert "- pole_angle [rad]: tilt of the pole from upright" in schema.text
    assert "- action: an integer from 0 to 1" in schema.text
    assert Schema.from_json(json.loads(json.dumps(schema.to_json()))) == schema
    assert Schema.from_json(WORLD.to_json()) == WORLD


def test_no_name_gives_the_reward():
    from jaxrl.environment import make

    env, params = make("LunarLander-v3")
    units = {unit for unit, _ in env.quantities.values()}
    assert "reward" in units  # fuel_cost, a part of the environment's own reward
    assert "reward" not in {q.unit for q in schema_of(env, params).quantities}


def test_environment_without_quantities_is_refused():
    import probes

    with pytest.raises(ConfigError, match=r"does not name the quantities.*describe"):
        schema_of(probes.ConstantReward())


def rule(body, action=None):
    return compile_rule(f"def act(s):\n{textwrap.indent(body, '    ')}", WORLD, action)


def test_rule_chooses_an_action():
    made = rule("if s.x > 1:\n    return 2\nreturn 0 if s.flag else 1")
    assert (int(made(STATE)), made(STATE).dtype) == (2, jnp.int32)
    assert int(made(STATE | {"x": jnp.float32(0)})) == 0
    assert made.reads == ("x", "flag")
    assert int(jax.jit(made)(STATE)) == 2
    assert int(rule("return 7 if s.flag else 1")(STATE)) == 2  # the nearest that there is


def test_rule_of_continuous_actions():
    box = ActionSchema(None, (2,), (-1.0, -1.0), (1.0, 1.0))
    made = rule("return s.x, s.y * 0.5", box)
    np.testing.assert_allclose(made(STATE), [1.0, -0.25])
    one = ActionSchema(None, (1,), (-2.0,), (2.0,))
    np.testing.assert_allclose(rule("return s.y", one)(STATE), [-0.5])


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("return s.x", "act returns a fraction: return an integer from 0 to 2"),
        ("return s.place", "act returns an array of shape"),
        ("return s", "a whole state where a number is needed"),
        ("return s.x, s.place", "a tuple of different shapes where numbers are needed"),
        ("return 'left'", "a string where a number is needed"),
    ],
)
def test_rules_that_give_no_action_are_refused(body, said):
    with pytest.raises(ProgramError) as error:
        rule(body)
    assert said in str(error.value)


def test_rule_needs_act():
    with pytest.raises(ProgramError, match="no function act"):
        compile_rule("def reward(s, a, n):\n    return 1", WORLD)


def test_zero_state_has_the_schema_s_shapes():
    assert jax.tree.map(lambda x: (x.shape, x.dtype), zero_state(WORLD)) == jax.tree.map(
        lambda x: (x.shape, x.dtype), STATE
    )
