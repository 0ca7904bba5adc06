"""What a program can see: the described quantities of an environment, and its actions.

The environment's own reward is not among them, nor is any quantity whose unit is `reward`: a
program that could read its own fitness would only have to repeat it.
"""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxrl import spaces
from jaxrl.environment import env_name, supports_describe
from jaxrl.errors import ConfigError, SpaceError
from jaxrl.types import EnvParams


@dataclasses.dataclass(frozen=True)
class Quantity:
    """One described quantity: its name, unit and meaning, and the array that holds it."""

    name: str
    unit: str
    meaning: str
    shape: tuple[int, ...] = ()
    dtype: str = "float32"


@dataclasses.dataclass(frozen=True)
class ActionSchema:
    """What an action is.

    Attributes:
        num_actions: `A` of integers `0 … A - 1`; None for an array.
        shape: of the array; `()` for integers.
        low, high: bounds of the array's elements, flattened; empty for integers.
    """

    num_actions: int | None
    shape: tuple[int, ...] = ()
    low: tuple[float, ...] = ()
    high: tuple[float, ...] = ()

    @property
    def like(self) -> jax.ShapeDtypeStruct:
        """Shape and type of one action."""
        return jax.ShapeDtypeStruct(self.shape, jnp.int32 if self.num_actions else jnp.float32)

    @property
    def text(self) -> str:
        """In words, for a prompt."""
        if self.num_actions:
            return f"an integer from 0 to {self.num_actions - 1}"
        low, high = min(self.low, default=-np.inf), max(self.high, default=np.inf)
        return f"an array of shape {self.shape}, elements from {low:g} to {high:g}"


@dataclasses.dataclass(frozen=True)
class Schema:
    """The world of a program.

    Attributes:
        env: the environment's name.
        quantities: in the order in which a state is unpacked.
        action: what an action is.
    """

    env: str
    quantities: tuple[Quantity, ...]
    action: ActionSchema

    @property
    def names(self) -> tuple[str, ...]:
        """The quantities' names, in order."""
        return tuple(quantity.name for quantity in self.quantities)

    @property
    def like(self) -> dict[str, jax.ShapeDtypeStruct]:
        """Shape and type of every quantity of one state."""
        return {q.name: jax.ShapeDtypeStruct(q.shape, jnp.dtype(q.dtype)) for q in self.quantities}

    @property
    def text(self) -> str:
        """The quantities and the action in words, one a line, for a prompt."""
        lines = []
        for quantity in self.quantities:
            shape = f", shape {quantity.shape}" if quantity.shape else ""
            lines.append(f"- {quantity.name} [{quantity.unit}{shape}]: {quantity.meaning}")
        return "\n".join([*lines, f"- action: {self.action.text}"])

    def to_json(self) -> dict[str, Any]:
        """As plain data."""
        return json.loads(json.dumps(dataclasses.asdict(self)))

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Schema:
        """What `to_json` gave."""
        quantities = tuple(
            Quantity(**(quantity | {"shape": tuple(quantity["shape"])}))
            for quantity in data["quantities"]
        )
        action = data["action"]
        lists = {name: tuple(action[name]) for name in ("shape", "low", "high")}
        return cls(data["env"], quantities, ActionSchema(action["num_actions"], **lists))


def schema_of(env: Any, params: EnvParams | None = None) -> Schema:
    """The schema of an environment.

    Args:
        env: an environment that has `describe`.
        params: its parameters; default `env.default_params`.

    Raises:
        ConfigError: it does not name the quantities of its state.
        SpaceError: actions that are neither Discrete nor a Box.
    """
    if not supports_describe(env):
        raise ConfigError(
            f"{env_name(env)} does not name the quantities of its state, in which a program is "
            "written: give it describe(state, params) -> dict and quantities = {name: (unit, "
            "meaning)}, or take an environment that has them (`jaxrl envs` lists which)."
        )
    params = env.default_params if params is None else params
    _, state = jax.eval_shape(env.reset_env, jax.random.key(0), params)
    described = jax.eval_shape(env.describe, state, params)
    units = getattr(env, "quantities", {})
    names = [*(n for n in units if n in described), *sorted(set(described) - set(units))]
    quantities = []
    for name in names:
        unit, meaning = units.get(name, ("", ""))
        if unit == "reward":
            continue
        like = described[name]
        quantities.append(Quantity(name, unit, meaning, tuple(like.shape), str(like.dtype)))
    return Schema(env_name(env), tuple(quantities), action_schema(env.action_space(params)))


def action_schema(space: Any) -> ActionSchema:
    """What the actions of a space are; raises `SpaceError` for one that is no number or array."""
    if spaces.is_discrete(space):
        return ActionSchema(int(space.n))
    if not spaces.is_box(space):
        raise SpaceError(
            f"a program takes actions that are Discrete or a Box, this space is {space!r}: make "
            "them one array in a wrapper of the environment."
        )
    low, high = (tuple(np.asarray(b).ravel().tolist()) for b in spaces.bounds(space))
    return ActionSchema(None, tuple(space.shape), low, high)
