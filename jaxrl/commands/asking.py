"""What the commands that ask a model have in common: the store, the prompt, whether it answers."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import jax

from jaxrl.environment import supports_describe
from jaxrl.errors import ConfigError, ModelError
from jaxrl.types import EnvParams
from jaxrl.vlm import prompts
from jaxrl.vlm.asker import Asker
from jaxrl.vlm.store import Store


def opened_store(path: Path, stack: contextlib.ExitStack) -> Store:
    """The store in a file, made where there is none; what nothing was written to goes again.

    Raises:
        ConfigError: the file is no store, or of another version of jaxrl.
    """
    new = not path.exists()
    path.parent.mkdir(parents=True, exist_ok=True)
    store = Store(path)
    if new:
        stack.callback(_remove_unused, path)
    stack.callback(store.close)
    return store


def _remove_unused(path: Path) -> None:
    """Removes a store without a call: a setting was refused, or nobody had to be asked."""
    with contextlib.closing(Store(path)) as store:
        unused = not store.outcomes()
    if unused:
        path.unlink()


def require_answers(asker: Asker) -> None:
    """Raises `ModelError` where the model cannot be asked at all (a wrong key, say)."""
    if asker.fatal is not None:
        raise ModelError(f"the model cannot be asked: {asker.fatal.reason}")


def prompt_about(env: Any, env_params: EnvParams) -> str:
    """The first shipped prompt that is about this environment's quantities.

    Raises:
        ConfigError: none is.
    """
    described: set[str] = set()
    if supports_describe(env):
        _, state = jax.eval_shape(env.reset_env, jax.random.key(0), env_params)
        described = set(jax.eval_shape(env.describe, state, env_params))
    for name in prompts.names():
        template = prompts.load(name)
        fits = template.needs and set(template.needs) <= described
        if fits and template.images == 1 and not template.parameters:
            return name
    raise ConfigError(
        f"no shipped prompt is about {env.name}: give --prompt, a file of your own or one of "
        f"{', '.join(prompts.names())}."
    )
