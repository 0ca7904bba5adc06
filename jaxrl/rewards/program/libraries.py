"""What one library means by a name when another means something else by it."""

from __future__ import annotations

from functools import partial

import jax.numpy as jnp

from jaxrl.rewards.program import formulas, table

OTHERS_BY_TORCH = {
    name: table.function(partial(formulas.spread, call, 1), "x axis?! correction?!")
    for name, call in {"std": jnp.std, "var": jnp.var}.items()
}
"""Deviations, which torch divides by `n - 1`."""
BY_LIBRARY: dict[str, dict[str, table.Function]] = {
    "torch": {
        **OTHERS_BY_TORCH,
        "max": table.function(partial(formulas.torch_extreme, jnp.maximum, jnp.max), "x y?"),
        "min": table.function(partial(formulas.torch_extreme, jnp.minimum, jnp.min), "x y?"),
    },
    "math": {
        "remainder": table.function(formulas.math_remainder, "x y"),
        "isclose": table.function(formulas.math_isclose, "x y rel_tol?! abs_tol?!"),
    },
}
"""Functions that mean something else where one library is asked for them."""


def spelled(path: str) -> str:
    """What a function is called whoever is asked: `exp` of `jax.numpy.exp`, `torch.std` of that."""
    library, name = path.partition(".")[0], path.rpartition(".")[2]
    return f"{library}.{name}" if name in BY_LIBRARY.get(library, ()) else name


def entry(path: str) -> table.Function | None:
    """The entry of a function by its module and name; None where there is none."""
    library, _, name = spelled(path).rpartition(".")
    return BY_LIBRARY[library][name] if library else table.FUNCTIONS.get(name)
