"""Opening a run folder again: its environment, its algorithm and its policies."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, NamedTuple

import jax

from jaxrl.algorithms import algorithm_entry
from jaxrl.environment import make
from jaxrl.errors import unknown_name
from jaxrl.run.checkpoint import Checkpointer, load_policy
from jaxrl.run.folder import RunRecord, read_run
from jaxrl.types import Algorithm, EnvParams, PolicyState


class OpenedRun(NamedTuple):
    """A run that can be played again.

    Attributes:
        record: what is in the folder.
        algorithm: built anew from its config, with its environment.
        env_params: parameters of the environment, as trained with.
        policies: policies of all seeds, leading axis `[S]`.
    """

    record: RunRecord
    algorithm: Algorithm
    env_params: EnvParams
    policies: PolicyState


def open_run(path: str | Path) -> OpenedRun:
    """Rebuilds a run's algorithm and loads its policies.

    A run that has not ended gives those of its last checkpoint.

    Raises:
        RunFolderError: not a run folder, or nothing to load in it.
        UnknownNameError: an environment or algorithm that is not registered here.
    """
    record = read_run(path)
    settings = record.config["env_arguments"] | record.config["env_params"]
    env, env_params = make(record.config["env"], **settings)
    entry = algorithm_entry(record.config["algorithm"])
    config = config_from(record.config["config"], entry.config())
    algorithm = entry.build(env, config)
    seeds = len(record.config["seeds"])

    def init(key: jax.Array) -> Any:
        return algorithm.init(key, env_params, 0)

    keys = jax.eval_shape(lambda: jax.random.split(jax.random.key(0), seeds))
    like = jax.eval_shape(jax.vmap(init), keys)
    if record.result is not None:
        policies = load_policy(record.path / "policy", like)
    else:
        checkpoints = Checkpointer(record.path / "checkpoints")
        state = checkpoints.restore({"train": like}, partial=True)["train"]
        policies = PolicyState(state.params, state.obs_stats)
    return OpenedRun(record, algorithm, env_params, policies)


def config_from(settings: dict[str, Any], base: Any) -> Any:
    """`base`, an algorithm's config, with settings as JSON has them put in place.

    Raises:
        UnknownNameError: a setting that the algorithm does not have.
    """
    fields = {field.name for field in dataclasses.fields(base)}
    for name in settings:
        if name not in fields:
            raise unknown_name("setting", name, fields)
    values = {k: tuple(v) if isinstance(v, list) else v for k, v in settings.items()}
    return base.replace(**values)
