"""Probe environments: each can be solved only if one particular thing works.

After Andy Jones, "Debugging RL, without the agonizing pain". What a critic must say of an
observation is worked out by hand in `values`; `best` is the action that must be learned.
"""

from typing import Any

import jax
import jax.numpy as jnp
from flax import struct

from jaxrl_envs import base, spaces


@struct.dataclass
class ProbeState(base.EnvState):
    """`cue` is what is shown: -1 or 1, or 0 where there is nothing to see."""

    cue: jax.Array


class Probe(base.Environment):
    """A one-step episode with reward 1: does the critic learn a constant?"""

    continuous_actions = False
    length = 1
    values = ((0.0, 1.0),)
    """(observation, value under the best policy at γ = 0.9)"""
    best: tuple[tuple[float, float], ...] = ()
    """(observation, best action: 0 or 1, or its sign if continuous)"""

    def __init__(self, continuous: bool = False):
        self.continuous_actions = continuous

    @property
    def default_params(self):
        return base.EnvParams(max_steps_in_episode=10)

    def cue(self, key):
        return jnp.float32(0)

    def reward(self, state, good):
        return jnp.float32(1)

    def reset_env(self, key, params):
        state = ProbeState(jnp.int32(0), self.cue(key))
        return self.get_obs(state), state

    def step_env(self, key, state, action, params):
        push = action[0] > 0 if self.continuous_actions else action > 0
        reward = self.reward(state, push)
        state = state.replace(time=state.time + 1)
        return self.get_obs(state), state, reward, self.is_terminated(state, params), {}

    def get_obs(self, state, params=None, key=None):
        return state.cue[None]

    def is_terminated(self, state, params):
        return state.time >= self.length

    def action_space(self, params=None):
        if self.continuous_actions:
            return spaces.Box(-1.0, 1.0, (1,))
        return spaces.Discrete(2)

    def observation_space(self, params=None):
        return spaces.Box(-1.0, 1.0, (1,))


class ConstantReward(Probe):
    pass


class ObservationReward(Probe):
    """The reward is the cue: does the critic look at the observation?"""

    values = ((-1.0, -1.0), (1.0, 1.0))

    def cue(self, key):
        return jnp.where(jax.random.bernoulli(key), 1.0, -1.0)

    def reward(self, state, good):
        return state.cue


class DelayedReward(Probe):
    """Two steps, reward 1 at the second: does value flow back, discounted?"""

    length = 2
    values = ((0.0, 0.9), (1.0, 1.0))

    def reward(self, state, good):
        return (state.time == 1).astype(jnp.float32)

    def get_obs(self, state, params=None, key=None):
        return state.time.astype(jnp.float32)[None]


class ActionReward(Probe):
    """Reward 1 for action 1, -1 for action 0: does the policy learn?"""

    values = ((0.0, 1.0),)
    best = ((0.0, 1.0),)

    def reward(self, state, good):
        return jnp.where(good, 1.0, -1.0)


class ActionObservationReward(Probe):
    """Reward 1 for the action that the cue names: policy and observation together."""

    values = ((-1.0, 1.0), (1.0, 1.0))
    best = ((-1.0, 0.0), (1.0, 1.0))

    def cue(self, key):
        return jnp.where(jax.random.bernoulli(key), 1.0, -1.0)

    def reward(self, state, good):
        return jnp.where(good == (state.cue > 0), 1.0, -1.0)


class Truncation(Probe):
    """Reward 1 for ever, cut by a time limit of 10: the value is 1 / (1 - γ) = 10.

    A learner that takes the limit for a death says less than 6.6, the mean of what is left of ten
    steps; one that cuts no trace says whatever the next episode brings.
    """

    values = ((0.0, 10.0),)

    def is_terminated(self, state: Any, params: Any):
        return state.time < 0


PROBES = (
    ConstantReward,
    ObservationReward,
    DelayedReward,
    ActionReward,
    ActionObservationReward,
    Truncation,
)


@struct.dataclass
class WhichProbe(base.EnvParams):
    """`kind`: an index of `PROBES`."""

    max_steps_in_episode: int = 10
    kind: int = 0


class AnyProbe(Probe):
    """All the probes in one program, so that an algorithm is compiled once for them."""

    def __init__(self, continuous: bool = False):
        super().__init__(continuous)
        self.probes = [probe(continuous) for probe in PROBES]

    @property
    def default_params(self):
        return WhichProbe()

    def reset_env(self, key, params):
        return jax.lax.switch(params.kind, [p.reset_env for p in self.probes], key, params)

    def step_env(self, key, state, action, params):
        branches = [p.step_env for p in self.probes]
        return jax.lax.switch(params.kind, branches, key, state, action, params)
