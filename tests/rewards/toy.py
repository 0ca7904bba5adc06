"""A game of shades, and a learner that adds up what it is told: what a model's reward needs, fast.

An episode begins at a random shade and lasts three to five steps; the picture of a state is its
shade of grey, so that a client which answers with a frame's mean tells which state it was shown.
"""

from typing import Any

import jax
import jax.numpy as jnp
from flax import struct

from jaxrl import replay, spaces
from jaxrl.types import Algorithm, Mean, TrainState
from jaxrl.vector import rollout, vectorize
from jaxrl_envs import base
from jaxrl_envs import spaces as env_spaces


@struct.dataclass
class ShadeState(base.EnvState):
    start: jax.Array


class Shades(base.Environment):
    quantities = {"shade": ("", "grey value of the picture")}  # noqa: RUF012

    @property
    def default_params(self):
        return base.EnvParams(max_steps_in_episode=5)

    def shade(self, state):
        return (state.start * 37 + state.time * 11) % 251

    def reset_env(self, key, params):
        state = ShadeState(jnp.int32(0), jax.random.randint(key, (), 0, 250))
        return self.get_obs(state), state

    def step_env(self, key, state, action, params):
        state = state.replace(time=state.time + 1)
        return self.get_obs(state), state, jnp.float32(1), self.is_terminated(state, params), {}

    def get_obs(self, state, params=None, key=None):
        return jnp.stack([state.start / 250, state.time / 5]).astype(jnp.float32)

    def is_terminated(self, state, params):
        return state.time >= 3 + state.start % 3  # those of five are cut by the time limit

    def action_space(self, params=None):
        return env_spaces.Discrete(2)

    def observation_space(self, params=None):
        return env_spaces.Box(0.0, 2.0, (2,))

    def render(self, state, params, *, height, width):
        return jnp.full((height, width, 3), self.shade(state), jnp.uint8)

    def describe(self, state, params):
        return {"shade": self.shade(state).astype(jnp.float32)}


@struct.dataclass
class Config:
    num_envs: int = struct.field(pytree_node=False, default=3)
    num_steps: int = struct.field(pytree_node=False, default=4)
    rate: float = 0.5


@struct.dataclass
class State(TrainState):
    replay: Any


@struct.dataclass
class Forgetful(TrainState):
    """The same without a replay."""


def adder(env, *, remembers=True):
    """`params` are the sum of all labelled rewards, and of those with a weight that tells them."""
    config = Config()
    venv = vectorize(env, config.num_envs)
    layout = replay.layout_for(400, config.num_steps, jnp.float32)

    def init(key, env_params, total_updates=0):
        key, key_env = jax.random.split(key)
        vector = venv.reset(key_env, env_params)
        action = jax.ShapeDtypeStruct((config.num_envs,), jnp.uint8)
        fields = dict(
            params={"sum": jnp.float32(0), "rows": jnp.float32(0), "told": jnp.float32(0)},
            opt_state=(),
            vector=vector,
            env_params=env_params,
            obs_stats=None,
            return_stats=None,
            config=jax.tree.map(jnp.float32, config),
            key=key,
            update=jnp.int32(0),
            total_updates=jnp.int32(total_updates),
        )
        if not remembers:
            return Forgetful(**fields)
        return State(**fields, replay=replay.empty(layout, vector.obs, action))

    def collect(state, record="nothing"):
        key, sub = jax.random.split(state.key)
        zeros = jnp.zeros(config.num_envs, jnp.int32)
        vector, trajectory = rollout(
            venv,
            state.env_params,
            state.vector,
            lambda key: (),
            lambda obs, noise: (zeros, None),
            sub,
            config.num_steps,
            record,
        )
        return state.replace(key=key, vector=vector), trajectory

    def learn(state, trajectory):
        buffer = getattr(state, "replay", None)
        if buffer is not None:
            buffer = replay.write(buffer, trajectory, state.vector.obs)
            if trajectory.late is not None:
                buffer = replay.relabel(buffer, *trajectory.late)
            there = (buffer.flags & replay.LABELLED) > 0
            reward, number = buffer.reward, jnp.arange(buffer.reward.size).reshape(there.shape)
            state = state.replace(replay=buffer)
        else:
            reward = trajectory.reward
            there = jnp.ones_like(reward, bool)
            if trajectory.labelled is not None:
                there = trajectory.labelled
            number = jnp.arange(reward.size).reshape(reward.shape)
        known = jnp.where(there, reward, 0.0)
        params = {
            "sum": known.sum(),
            "rows": there.sum(dtype=jnp.float32),
            "told": (known * jnp.cos(number)).sum(),
        }
        state = state.replace(params=params, update=state.update + 1)
        metrics = {"loss/sum": Mean.of(known.sum())}
        return state, metrics | state.vector.episodes

    assert spaces.is_discrete(env.action_space())
    return Algorithm(
        name="adder",
        env=env,
        config=config,
        init=init,
        collect=collect,
        learn=learn,
        act=lambda state, obs, key, *, greedy=False: jnp.zeros(obs.shape[:-1], jnp.int32),
        value=None,
        steps_per_update=config.num_envs * config.num_steps,
    )
