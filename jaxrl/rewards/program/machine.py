"""What an evaluation counts and bounds, and where names are kept while it lasts."""

from __future__ import annotations

import ast
import contextlib
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxrl.errors import ProgramError
from jaxrl.rewards.program.check import Checked
from jaxrl.rewards.program.numerals import as_float, is_static
from jaxrl.rewards.program.refusal import (
    MAX_AXES,
    MAX_ELEMENTS,
    MAX_NESTING,
    MAX_OPERATIONS,
    MAX_SIZE,
    MAX_VISITS,
    MAX_WORK,
    refuse,
)
from jaxrl.rewards.program.schema import Schema
from jaxrl.rewards.program.values import Torn

NOT_COMPUTABLE = (
    *(TypeError, ValueError, IndexError, ZeroDivisionError, OverflowError, NotImplementedError),
)
"""What jax.numpy raises where shapes or types of arguments do not fit."""


class Helper(NamedTuple):
    """A function of the program, and the scope it was defined in."""

    node: ast.FunctionDef
    scope: Scope


class Scope:
    """The names of one call of a function, inside those of where it was defined.

    Attributes:
        names: what they hold now.
        parent: where it was defined; None for the text's own level.
        local: every name that the function assigns, whether it has yet or not.
    """

    def __init__(self, parent: Scope | None, local: frozenset[str]) -> None:
        self.names: dict[str, Any] = {}
        self.parent, self.local = parent, local

    def find(self, name: str, line: int) -> Any:
        """A name's value; None where there is none of that name."""
        scope: Scope | None = self
        while scope is not None:
            if name in scope.names:
                value = scope.names[name]
                if isinstance(value, Torn):
                    raise refuse(line, f"{name} {value.reason}", f"assign {name} before the if")
                return value
            if name in scope.local:
                raise refuse(line, f"{name} has no value here yet", f"assign {name} before")
            scope = scope.parent
        return None

    def all_names(self) -> list[str]:
        """Every name that `find` would find."""
        return [*self.names, *(self.parent.all_names() if self.parent else [])]


class Machine:
    """One evaluation of a program.

    Attributes:
        program: what is evaluated.
        schema: the quantities.
        call: `(machine, helper, args, keywords, line) -> value`, which calls a helper.
        calls: names of the helpers that are being called.
        reads: names of the quantities read so far.
        watch: with values in place of tracers, take only the path that Python would, and note the
            first line whose result is not finite though what it came from is.
        first_bad: that line.
        integers: `int` gives int32, for a choice of action; else floats that are whole, which no
            size and no NaN can turn into another number.
    """

    def __init__(
        self,
        program: Checked,
        schema: Schema,
        call: Callable[..., Any],
        *,
        watch: bool = False,
        integers: bool = False,
    ) -> None:
        self.program, self.schema, self.call, self.watch = program, schema, call, watch
        self.calls: list[str] = []
        self.reads: set[str] = set()
        self.first_bad: int | None = None
        self.integers = integers
        self._visits = self._operations = self._nesting = self._work = 0
        self._whole: dict[int, Any] = {}

    @contextlib.contextmanager
    def visit(self, line: int) -> Iterator[None]:
        """Counts an expression or a statement, and what it lies in."""
        self._visits += 1
        self._nesting += 1
        if self._nesting > MAX_NESTING:
            advice = "give parts of expressions names, and use fewer helpers inside each other"
            raise refuse(line, "expressions and helpers are nested too deep", advice)
        if self._visits > MAX_VISITS:
            raise refuse(line, "evaluating it takes too long", "use fewer loops and helpers")
        yield
        self._nesting -= 1

    def apply(self, line: int, call: Callable[..., Any], *args: Any) -> Any:
        """Computes something of values; what does not fit is refused with what jax says of it."""
        try:
            result = call(*args)
        except ProgramError:  # which is a ValueError
            raise
        except NOT_COMPUTABLE as error:
            said = str(error).splitlines()[0] if str(error) else type(error).__name__
            advice = "make shapes and types of the arguments fit"
            raise refuse(line, f"this cannot be computed ({said[:200]})", advice) from None
        return self.kept(line, result, args)

    def kept(self, line: int, result: Any, args: tuple[Any, ...] = ()) -> Any:
        """The result of an operation, if it is within bounds."""
        many = max(count_elements(result), max(map(count_elements, args), default=0))
        if many > MAX_ELEMENTS:
            advice = f"keep tuples below {MAX_ELEMENTS} elements"
            raise refuse(line, "a tuple that is too long", advice)
        if not isinstance(result, jax.Array) and many <= 1:
            return result
        self._operations += max(many, 1)
        if self._operations > MAX_OPERATIONS:
            raise refuse(
                line, f"more than {MAX_OPERATIONS} operations", "use fewer loops and helpers"
            )
        if not isinstance(result, jax.Array):
            return result
        if result.size > MAX_SIZE or result.ndim > MAX_AXES:
            advice = f"keep arrays below {MAX_SIZE} elements and {MAX_AXES} axes"
            raise refuse(line, f"an array of shape {result.shape}"[:80], advice)
        self.spend(line, max(result.size, *(a.size for a in args if _is_array(a)), 1))
        if self.watch and self.first_bad is None and not _finite(result):
            inputs = [a for a in jax.tree.leaves(args) if is_static(a) or _is_array(a)]
            if all(_finite(a) for a in inputs):
                self.first_bad = line
        return result

    def spend(self, line: int, elements: int) -> None:
        """Counts elements that are computed or added up."""
        self._work += elements
        if self._work > MAX_WORK:
            reason = f"more than {MAX_WORK} elements computed for one step"
            raise refuse(line, reason, "use smaller arrays and fewer loops")

    def product(self, line: int, call: Callable[..., Any], a: Any, b: Any) -> Any:
        """`call(a, b)`, a product of vectors or matrices, which adds up more than it gives."""
        result = self.apply(line, call, a, b)
        self.spend(line, max(jnp.size(result), 1) * max(jnp.shape(a)[-1:], default=1))
        return result

    def indexed(self, line: int, array: jax.Array, key: Any) -> Any:
        """`array[key]`; beyond its ends an index that is known is refused, another gives NaN."""
        parts = key if isinstance(key, tuple) else (key,)
        known = tuple(0 if _is_array(part) else part for part in parts)
        self.apply(line, lambda: np.broadcast_to(np.False_, array.shape)[known] is None)
        if self.integers or not any(map(_is_array, parts)):
            return self.apply(line, lambda: array[key])
        result = self.apply(
            line, lambda a: a.at[key].get(mode="fill", fill_value=jnp.nan), as_float(array)
        )
        return self.whole(result) if jnp.issubdtype(array.dtype, jnp.integer) else result

    def whole(self, value: Any) -> Any:
        """An array of whole floats, noted as such; int32 where integers are asked for."""
        if self.integers:
            return value.astype(jnp.int32)
        self._whole[id(value)] = value  # kept, so that no other array gets its id
        return value

    def is_whole(self, value: Any) -> bool:
        """Whether a value is an integer, or an array of such."""
        if not _is_array(value):
            return isinstance(value, int)
        return jnp.issubdtype(value.dtype, jnp.integer) or id(value) in self._whole

    def decided(self, condition: Any) -> Any:
        """A condition as Python's truth where its value is known."""
        return bool(condition) if self.watch else condition


def count_elements(value: Any) -> int:
    """How many values a value holds; what is too many is not counted to its end."""
    count, todo = 0, [value]
    while todo and count <= MAX_ELEMENTS:
        item = todo.pop()
        if isinstance(item, (tuple, list)):
            todo.extend(item)
        elif isinstance(item, dict):
            todo.extend(item.values())
        else:
            count += 1
    return count


def _is_array(value: Any) -> bool:
    return isinstance(value, jax.Array)


def _finite(value: Any) -> bool:
    if isinstance(value, jax.Array) and not jnp.issubdtype(value.dtype, jnp.floating):
        return True
    return bool(np.isfinite(np.asarray(value)).all())
