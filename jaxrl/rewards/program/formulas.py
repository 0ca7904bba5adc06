"""What the table's functions compute where that is more than a function of `jax.numpy`.

Arguments that were left out are None. Truths count 0 or 1 where numbers are needed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp

from jaxrl.rewards.program.numerals import added, arithmetic, as_float, is_static, is_truth
from jaxrl.rewards.program.refusal import MAX_DIGITS_ROUNDED
from jaxrl.rewards.program.values import Kind


def on_numbers(call: Callable[..., Any]) -> Callable[..., Any]:
    """A function of numbers, for which truths count 0 or 1."""
    return lambda *args: call(*(arithmetic(a) for a in args))


def on_floats(call: Callable[..., Any]) -> Callable[..., Any]:
    """A function of floats, for which integers and truths are floats."""
    return lambda *args: call(*(as_float(a) for a in args))


def plus(call: Callable[..., Any]) -> Callable[..., Any]:
    """A sum or a difference; that of two truths is `or` in numpy and nothing in torch."""

    def add(x: Any, y: Any) -> Any:
        if is_truth(x) and is_truth(y):
            raise ValueError("of two truths it is no number: write | for or")
        return added(call, x, y)

    return add


def clip(x: Any, low: Any, high: Any) -> Any:
    """`x` between bounds, either of which may be None."""
    return jnp.clip(arithmetic(x), low, high)


def where(cond: Any, yes: Any, no: Any) -> Any:
    """One or the other, element by element; a number is a truth where it is not 0."""
    return jnp.where(truths(cond), yes, no)


def truths(x: Any) -> Any:
    """Whether each element is not 0."""
    return jnp.asarray(x).astype(bool)


def extreme(call: Callable[..., Any], x: Any, axis: Any, keepdims: Any) -> Any:
    """The largest or smallest element along an axis, or of all."""
    return call(arithmetic(jnp.asarray(x)), axis=axis, keepdims=bool(keepdims))


def reduce(call: Callable[..., Any], x: Any, axis: Any, keepdims: Any) -> Any:
    """A sum, mean or product along an axis, or of all; a float, which cannot wrap around."""
    return call(jnp.asarray(as_float(x)), axis=axis, keepdims=bool(keepdims))


def spread(call: Callable[..., Any], default: int, x: Any, axis: Any, ddof: Any) -> Any:
    """A deviation or variance; numpy divides by n, torch by n - 1."""
    ddof = default if ddof is None else int(ddof)
    return call(jnp.asarray(as_float(x)), axis=axis, ddof=ddof)


def norm(x: Any, order: Any, axis: Any, keepdims: Any) -> Any:
    """The norm of a vector, or of all elements where no axis is given."""
    x = jnp.asarray(as_float(x))
    if isinstance(axis, tuple) or (axis is None and order is not None and x.ndim > 1):
        raise ValueError("the norm of a matrix of some order: give one axis, or no order")
    flat = x.ravel() if axis is None else x
    return jnp.linalg.norm(flat, ord=order, axis=axis, keepdims=bool(keepdims))


def array(x: Any, kind: Any) -> Any:
    """An array, of a kind of numbers if one is given; whole floats for integers, as `int` gives."""
    x = jnp.asarray(x)
    if not isinstance(kind, Kind | None):
        raise TypeError("a dtype that is no type of numbers: write for instance jnp.float32")
    if kind is not None and kind.whole and jnp.issubdtype(x.dtype, jnp.floating):
        return jnp.trunc(x)
    return x if kind is None else x.astype(kind.dtype)


def full_like(x: Any, value: Any) -> Any:
    """A value in the shape of `x`, float32."""
    return jnp.full_like(jnp.asarray(x), value, dtype=jnp.float32)


def log(x: Any, base: Any) -> Any:
    """The natural logarithm, or that to a base."""
    x = jnp.log(as_float(x))
    return x if base is None else x / jnp.log(as_float(base))


def hypot(xs: tuple[Any, ...]) -> Any:
    """The length of a vector of its elements."""
    return jnp.linalg.norm(jnp.stack([jnp.asarray(as_float(x)) for x in xs]), axis=0)


def round(x: Any, decimals: Any) -> Any:
    """Half to even, as in Python, to a number of digits."""
    digits = int(decimals or 0)
    if abs(digits) > MAX_DIGITS_ROUNDED:
        raise ValueError(f"round to {digits} digits: write up to {MAX_DIGITS_ROUNDED}")
    return jnp.round(jnp.asarray(as_float(x)), digits)


def torch_extreme(pair: Callable[..., Any], all_of: Callable[..., Any], x: Any, y: Any) -> Any:
    """`torch.max(x)`, or of two tensors, element by element."""
    if is_static(y):  # an axis to torch, which then gives indices as well
        raise ValueError("torch takes a tensor there: write torch.clamp, or np.max with an axis")
    return all_of(arithmetic(jnp.asarray(x))) if y is None else pair(arithmetic(x), arithmetic(y))


def math_remainder(x: Any, y: Any) -> Any:
    """`math.remainder`, IEEE 754's: `x - n·y`, `n` the integer nearest to `x / y`."""
    x, y = jnp.asarray(as_float(x)), as_float(y)
    return x - y * jnp.round(x / y)


def math_isclose(x: Any, y: Any, rel_tol: Any, abs_tol: Any) -> Any:
    """`math.isclose`, whose tolerances are its own and symmetric."""
    x, y = jnp.asarray(as_float(x)), as_float(y)
    relative = 1e-9 if rel_tol is None else rel_tol
    bound = relative * jnp.maximum(jnp.abs(x), jnp.abs(y))
    near = jnp.abs(x - y) <= jnp.maximum(bound, 0.0 if abs_tol is None else abs_tol)
    return near & jnp.isfinite(x - y) | (x == y)


def isclose(x: Any, y: Any, rtol: Any, atol: Any) -> Any:
    """Whether two are equal up to numpy's tolerances."""
    rtol, atol = (1e-5 if rtol is None else rtol), (1e-8 if atol is None else atol)
    return jnp.isclose(arithmetic(x), arithmetic(y), rtol=rtol, atol=atol)


def select(conds: tuple[Any, ...], choices: tuple[Any, ...], default: Any) -> Any:
    """The choice of the first condition that holds."""
    if len(conds) != len(choices):
        raise ValueError("as many choices as conditions are needed")
    result: Any = 0 if default is None else default
    for cond, choice in reversed(list(zip(conds, choices, strict=True))):
        result = where(cond, choice, result)
    return result


def join(call: Callable[..., Any], xs: tuple[Any, ...], axis: Any) -> Any:
    """Arrays stacked or concatenated along an axis."""
    return call([jnp.asarray(x) for x in xs], axis=int(axis or 0))


def reshape(x: Any, shape: Any) -> Any:
    """The same elements in another shape."""
    return jnp.asarray(x).reshape(shape if isinstance(shape, tuple) else (shape,))


def squeeze(x: Any, axis: Any) -> Any:
    """Without axes of length 1."""
    return jnp.squeeze(jnp.asarray(x), axis)
