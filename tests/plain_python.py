"""Plain Python as the judge of reward programs: their text executed with numpy in every role.

Only for programs of the tests' own; `torch` and `jax` are numpy under other names here.
"""

import builtins
import math
import types
import warnings

import numpy as np


class Tensor(np.ndarray):
    """An array with torch's methods."""

    def abs(self):
        return abs(self)

    def clamp(self, min=None, max=None):
        return tensor(np.clip(self, min, max))

    def float(self):
        return tensor(self, np.float64)

    def __float__(self):
        return float(self.item())

    def pow(self, exponent):
        return self**exponent

    def square(self):
        return self**2

    def sqrt(self):
        return tensor(np.sqrt(self))


def tensor(data, dtype=None):
    return np.asarray(data, dtype).view(Tensor)


def _norm(x, dim=None):
    return np.linalg.norm(np.asarray(x), axis=dim)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def relu(x):
    return np.maximum(x, 0.0)


FUNCTIONAL = types.SimpleNamespace(relu=relu, sigmoid=sigmoid)
TORCH = types.SimpleNamespace(
    **{name: getattr(np, name) for name in ("abs", "exp", "tanh", "where", "stack", "float32")},
    Tensor=Tensor,
    tensor=tensor,
    norm=_norm,
    sigmoid=sigmoid,
    clamp=lambda x, min=None, max=None: np.clip(x, min, max),
    nn=types.SimpleNamespace(functional=FUNCTIONAL),
)
JAX = types.SimpleNamespace(numpy=np, nn=FUNCTIONAL)
MODULES = {"numpy": np, "jax.numpy": np, "jax": JAX, "torch": TORCH, "math": math}


def _import(name, globals_=None, locals_=None, fromlist=(), level=0):
    if name == "typing":
        return __import__(name, globals_, locals_, fromlist, level)
    if name == "torch.nn.functional":
        return FUNCTIONAL if fromlist else TORCH
    return (MODULES[name] if fromlist else MODULES[name.partition(".")[0]]) or None


class State:
    """A state by item, by attribute and by order."""

    def __init__(self, values):
        self._values = values

    def __getitem__(self, name):
        return list(self._values.values())[name] if isinstance(name, int) else self._values[name]

    def __getattr__(self, name):
        return self._values[name]

    def __iter__(self):
        return iter(self._values.values())


def function(source, name="reward"):
    """The function of that name in a text, as Python has it."""
    spelled = {"np": np, "jnp": np, "torch": TORCH, "jax": JAX, "math": math, "numpy": np}
    space = {"__builtins__": {**vars(builtins), "__import__": _import}, **spelled}
    exec(compile(source, "program", "exec"), space)
    return space[name]


def rewards(source, state, action, next_state):
    """`(total, components)` of each step, floats; a component that a path lacks is 0.

    Args:
        source: a program's text.
        state, next_state: name to numpy array `[N]`.
        action: `[N, ...]`.
    """
    call, totals, found = function(source), [], []

    def row(values, i):
        return State({name: column[i].tolist() for name, column in values.items()})

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        for i in range(len(action)):
            one = action[i].tolist() if action.ndim == 1 else tensor(action[i])
            result = call(row(state, i), one, row(next_state, i))
            total, components = result if isinstance(result, tuple) else (result, {})
            totals.append(float(total))
            found.append({name: float(np.asarray(x)) for name, x in components.items()})
    names = dict.fromkeys(name for one in found for name in one)
    return np.array(totals), {n: np.array([one.get(n, 0.0) for one in found]) for n in names}


def random_steps(schema, count, seed=0):
    """`(state, action, next_state)` of a schema's types, numpy arrays `[N, ...]`."""
    rng = np.random.default_rng(seed)

    def column(quantity):
        shape = (count, *quantity.shape)
        if quantity.dtype == "bool":
            return rng.integers(0, 2, shape).astype(bool)
        if quantity.dtype.startswith("int"):
            return rng.integers(0, 300, shape).astype(np.int32)
        return (rng.normal(size=shape) * rng.choice([0.05, 0.5, 3.0], shape)).astype(np.float32)

    state, next_state = ({q.name: column(q) for q in schema.quantities} for _ in range(2))
    if schema.action.num_actions:
        return state, rng.integers(0, schema.action.num_actions, count).astype(np.int32), next_state
    low, high = (
        np.reshape(b, schema.action.shape) for b in (schema.action.low, schema.action.high)
    )
    action = rng.uniform(low, high, (count, *schema.action.shape)).astype(np.float32)
    return state, action, next_state
