"""Gymnasium's environments as environments of ours, stepped by Python on the host.

    env, params = jaxrl.make("gymnasium:LunarLander-v3")

To train or to evaluate in one says whether a result is an artefact of our own dynamics, and reaches
what nobody has written in JAX. A step is one call from the compiled program to the host, for all
lanes of all seeds together; there they are stepped one after another, as fast as Gymnasium is.

A state here is a ticket. At an episode's start it is the seed to reset with, and can be copied and
played any number of times; from the first step on it says which of the host's environments it
means and how many steps that one had done, and can be stepped once. It cannot be stored, so a run
cannot be resumed (such an environment has `on_host`). An environment whose episode has ended serves
the next one that begins; an episode that is given up keeps its environment as long as this object
lives.

When training, a lane whose episode ends starts anew in the same step, and the observation that it
ended with is kept apart, as Gymnasium's `AutoresetMode.SAME_STEP` does. That needs no start drawn
beforehand. Under one of `jaxrl.wrappers` starts are drawn, each a reset: on a CPU for eight lanes
at a time or more, of every seed, whenever an episode of any ends; on other devices in every step
for every lane. With `reset="pooled"` it is one for each lane and rollout.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jax.custom_batching import custom_vmap
from jax.experimental import io_callback

from jaxrl.adapters import NoTimeLimit
from jaxrl.adapters.gymnasium import load_gymnasium
from jaxrl.adapters.lanes import Lanes, LaneStep
from jaxrl.errors import JaxrlError, MissingExtraError, SpaceError
from jaxrl.restarts import Restart, taking
from jaxrl.types import Array, EnvParams, Key, PyTree
from jaxrl.vector import Stepped, VectorEnv, VectorState, VectorStep, begin, finish_step
from jaxrl_envs import Box, Discrete
from jaxrl_envs.base import EnvParams as TimeLimit

NO_LIMIT = np.iinfo(np.int32).max


@struct.dataclass
class HostState:
    """A ticket for one of the host's environments.

    Attributes:
        seed: what the episode began with, uint32.
        lane: the environment's number, int32; -1 at a start, which has none yet.
        time: steps since the episode began, int32.
        terminated, truncated: how the last step ended.
    """

    seed: Array
    lane: Array
    time: Array
    terminated: Array
    truncated: Array


class GymnasiumEnv:
    """One of Gymnasium's environments under the contract of `jaxrl.environment.Environment`.

    Discrete actions out of range are clamped, continuous ones are clipped to their bounds. Floats
    of 64 bits are seen as 32. Its parameters hold the time limit, if Gymnasium gives it one.
    """

    on_host = True

    def __init__(self, name: str, **arguments: Any) -> None:
        """Makes one to see what it is like.

        Args:
            name: Gymnasium's name of it.
            **arguments: for `gymnasium.make`.

        Raises:
            MissingExtraError: Gymnasium, or what this environment needs besides, is not installed.
            JaxrlError: Gymnasium cannot make it.
            SpaceError: spaces that have no counterpart here.
        """
        self.name, self.arguments = name, arguments
        first = self._make()
        self._action_space = from_space(first.action_space, "actions")
        self._observation_space = from_space(first.observation_space, "observations")
        self._lanes = Lanes(self._make, first, self._observation_space)
        limit = load_gymnasium().spec(name).max_episode_steps
        self._params = NoTimeLimit() if limit is None else TimeLimit(limit)
        obs = jax.ShapeDtypeStruct(self._observation_space.shape, self._observation_space.dtype)
        self._look = host_call(self._lanes.look, obs)
        self._step = host_call(self._lanes.step, LaneStep.like(obs))

    def _make(self) -> Any:
        """One of Gymnasium's. Its time limit is left to our parameters."""
        gymnasium = load_gymnasium()
        try:
            return gymnasium.make(
                self.name, max_episode_steps=-1, disable_env_checker=True, **self.arguments
            )
        except gymnasium.error.DependencyNotInstalled as error:
            raise MissingExtraError(f"Gymnasium cannot make {self.name!r}: {error}") from error
        # Environments of theirs assert what their settings must be.
        except (gymnasium.error.Error, AssertionError, TypeError, ValueError) as error:
            raise JaxrlError(f"Gymnasium cannot make {self.name!r}: {error}") from error

    @property
    def default_params(self) -> EnvParams:
        """Gymnasium's time limit."""
        return self._params

    def action_space(self, params: EnvParams | None = None) -> Any:
        """Gymnasium's."""
        return self._action_space

    def observation_space(self, params: EnvParams | None = None) -> Any:
        """Gymnasium's."""
        return self._observation_space

    def reset_env(self, key: Key, params: EnvParams) -> tuple[Array, HostState]:
        """The start of an episode."""
        return self._start(jax.random.bits(key, (), jnp.uint32))

    def reset_batch(self, key: Key, params: EnvParams, num_envs: int) -> tuple[Array, HostState]:
        """The starts of `num_envs` episodes."""
        return self._start(jax.random.bits(key, (num_envs,), jnp.uint32))

    def _start(self, seed: Array) -> tuple[Array, HostState]:
        none, ended = jnp.zeros(seed.shape, jnp.int32), jnp.zeros(seed.shape, bool)
        return self._look(seed), HostState(seed, none - 1, none, ended, ended)

    def step_env(
        self, key: Key, state: HostState, action: Array, params: EnvParams
    ) -> tuple[Array, HostState, Array, Array, dict[str, Any]]:
        """One step. A state whose episode has ended stays as it is, seen as zeros, and pays 0."""
        out, after = self._advance(state, action, params, restart=False)
        return out.next_obs, after, out.reward, out.terminated, {}

    def is_terminated(self, state: HostState, params: EnvParams) -> Array:
        """Whether Gymnasium said so."""
        return state.terminated

    def is_truncated(self, state: HostState, params: EnvParams) -> Array:
        """Whether Gymnasium said so, or the time limit is reached."""
        return state.truncated

    def _advance(
        self, state: HostState, action: Array, params: EnvParams, *, restart: bool
    ) -> tuple[LaneStep, HostState]:
        """A step on the host, and the state that it led to."""
        limit = getattr(params, "max_steps_in_episode", NO_LIMIT)
        limit, again = (
            jnp.broadcast_to(jnp.asarray(x), state.lane.shape)
            for x in (jnp.asarray(limit, jnp.int32), restart)
        )
        out = self._step(state.seed, state.lane, state.time, action, limit, again)
        return out, HostState(state.seed, out.lane, out.time, out.terminated, out.truncated)

    def close(self) -> None:
        """Lets Gymnasium release what it holds; nothing can be played after."""
        self._lanes.close()

    def vectorize(self, num_envs: int) -> VectorEnv:
        """Lanes that the host restarts; see `jaxrl.vector.vectorize`."""

        def reset(key: Key, params: EnvParams) -> VectorState:
            return begin(*self.reset_batch(key, params, num_envs), num_envs)

        def step(
            key: Key, state: VectorState, action: PyTree, restart: Restart, params: EnvParams
        ) -> tuple[VectorState, VectorStep]:
            out, after = self._advance(state.env, action, params, restart=True)
            stepped: Stepped = (out.next_obs, after, out.reward, out.terminated, out.truncated)
            running = jnp.zeros_like(out.terminated)
            anew = after.replace(
                time=jnp.zeros_like(after.time), terminated=running, truncated=running
            )
            return finish_step(state, stepped, taking((out.obs, anew)))

        def refresh(key: Key, state: VectorState, params: EnvParams) -> VectorState:
            return state

        def nowhere(key: Key, state: VectorState, params: EnvParams) -> Restart:
            return lambda ended, after: after  # the host restarts its lanes as it steps them

        return VectorEnv(num_envs, reset, refresh, nowhere, step, starts=lambda *_: None)


def host_call(call: Callable[..., Any], like: PyTree) -> Callable[..., Any]:
    """A function on the host as one for compiled programs, in which it is called once a `vmap`.

    Args:
        call: takes arrays that share leading axes, any number of them, and gives arrays with the
            same. It is called in the order in which its results are needed, and never left out.
        like: shapes and types of what it gives, without leading axes.
    """

    @custom_vmap
    def apply(*args: Array) -> PyTree:
        lead = args[0].shape
        full = jax.tree.map(lambda x: jax.ShapeDtypeStruct((*lead, *x.shape), x.dtype), like)
        return io_callback(call, full, *args)

    @apply.def_vmap
    def apply_to_all(axis_size: int, in_batched: Any, *args: Array) -> tuple[PyTree, PyTree]:
        args = tuple(
            x if batched else jnp.broadcast_to(x, (axis_size, *x.shape))
            for x, batched in zip(args, in_batched, strict=True)
        )
        return apply(*args), jax.tree.map(lambda _: True, like)

    return apply


def from_space(space: Any, kind: str) -> Any:
    """One of Gymnasium's spaces as one of ours; raises SpaceError where it has no counterpart."""
    theirs = load_gymnasium().spaces
    if isinstance(space, theirs.Discrete) and (kind == "actions" or space.start == 0):
        return Discrete(int(space.n))
    if isinstance(space, theirs.Box):
        dtype = jax.dtypes.canonicalize_dtype(space.dtype)
        return Box(space.low.astype(dtype), space.high.astype(dtype), space.shape, dtype)
    raise SpaceError(
        f"Gymnasium's {space} as {kind}: needed is a Discrete or a Box. Wrap the environment in "
        "one of gymnasium.wrappers (FlattenObservation, TransformAction) and register that with "
        "Gymnasium under a name of its own."
    )
