"""Distributions over actions. The only module that imports distrax.

Each has two kinds of action. The *raw* one is what was sampled and what log-probabilities are of;
learners store it. `env_action(raw)` is what the environment is given: clipped or squashed into its
space. Storing the raw one matters: the log-probability of a clipped action is not that of the
sample, and inverting a saturated tanh gives infinities.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

import distrax
import jax
import jax.numpy as jnp

from jaxrl import spaces
from jaxrl.types import Array, Key


class Distribution(Protocol):
    """A batch `[...]` of distributions over actions."""

    def sample(self, key: Key) -> Array:
        """One raw action each."""
        ...

    def log_prob(self, raw_action: Array) -> Array:
        """`[...]`, of raw actions."""
        ...

    def entropy(self) -> Array:
        """`[...]`, in nats."""
        ...

    def mode(self) -> Array:
        """The greedy raw action."""
        ...

    def kl_divergence(self, other: Any) -> Array:
        """KL(self‖other), `[...]`, in nats."""
        ...

    def env_action(self, raw_action: Array) -> Array:
        """What the environment is given for a raw action."""
        ...


class Categorical(NamedTuple):
    """Over actions `0 … A-1`. `logits`: `[..., A]`, not necessarily normalised."""

    logits: Array

    def sample(self, key: Key) -> Array:
        """`[...]` int32. By Gumbel's trick: distrax tiles the logits, which costs a copy a step."""
        return jax.random.categorical(key, self.logits).astype(jnp.int32)

    def log_prob(self, raw_action: Array) -> Array:
        """`[...]`, of actions int `[...]`."""
        return self._distrax().log_prob(raw_action)

    def entropy(self) -> Array:
        """`-Σ π log π`, `[...]`."""
        return self._distrax().entropy()

    def mode(self) -> Array:
        """The likeliest action, `[...]` int32."""
        return jnp.argmax(self.logits, axis=-1).astype(jnp.int32)

    def kl_divergence(self, other: Categorical) -> Array:
        """`Σ π log(π / π')`, `[...]`."""
        return self._distrax().kl_divergence(other._distrax())

    def env_action(self, raw_action: Array) -> Array:
        """The action itself."""
        return raw_action

    def _distrax(self) -> distrax.Categorical:
        return distrax.Categorical(logits=self.logits)


class DiagonalGaussian(NamedTuple):
    """Independent normals, clipped into the space only on the way to the environment.

    Attributes:
        mean: `[..., D]`.
        log_std: `[D]` or `[..., D]`.
        low, high: bounds of the action space, `[D]`; infinite where there are none.
    """

    mean: Array
    log_std: Array
    low: Array
    high: Array

    def sample(self, key: Key) -> Array:
        """`[..., D]`, unclipped."""
        noise = jax.random.normal(key, self.mean.shape, self.mean.dtype)
        return self.mean + jnp.exp(self.log_std) * noise

    def log_prob(self, raw_action: Array) -> Array:
        """Of the unclipped action `[..., D]`."""
        return self._distrax().log_prob(raw_action)

    def entropy(self) -> Array:
        """Of the unclipped normal, `[...]`."""
        return self._distrax().entropy()

    def mode(self) -> Array:
        """The mean."""
        return self.mean

    def kl_divergence(self, other: DiagonalGaussian) -> Array:
        """Between the unclipped normals, `[...]`."""
        return self._distrax().kl_divergence(other._distrax())

    def env_action(self, raw_action: Array) -> Array:
        """Clipped to `[low, high]`."""
        return jnp.clip(raw_action, self.low, self.high)

    def _distrax(self) -> distrax.MultivariateNormalDiag:
        scale = jnp.broadcast_to(jnp.exp(self.log_std), self.mean.shape)
        return distrax.MultivariateNormalDiag(self.mean, scale)


class TanhGaussian(NamedTuple):
    """A normal `u`, squashed: the action is `low + (high - low) (tanh(u) + 1) / 2`.

    Raw actions are `u`. Densities are of the action on (low, high).

    Attributes:
        mean: of `u`, `[..., D]`.
        log_std: of `u`, `[D]` or `[..., D]`.
        low, high: finite bounds of the action space, `[D]`.
    """

    mean: Array
    log_std: Array
    low: Array
    high: Array

    def sample(self, key: Key) -> Array:
        """`u`, `[..., D]`."""
        return self._base().sample(key)

    def log_prob(self, raw_action: Array) -> Array:
        """Log-density of the squashed action, from `u` `[..., D]`; finite however far out."""
        return self._base().log_prob(raw_action) - self._log_slope(raw_action).sum(-1)

    def entropy(self) -> Array:
        """Of `u`, before squashing: the squashed one has no closed form. `[...]`."""
        return self._base().entropy()

    def sample_entropy(self, key: Key) -> Array:
        """One-sample estimate of the squashed entropy, `-log π` of a fresh action, `[...]`."""
        return -self.log_prob(self.sample(key))

    def mode(self) -> Array:
        """The mean of `u`: the median of the squashed action."""
        return self.mean

    def kl_divergence(self, other: TanhGaussian) -> Array:
        """Exact: both sides are squashed alike, so it is that of the normals. `[...]`."""
        return self._base().kl_divergence(other._base())

    def env_action(self, raw_action: Array) -> Array:
        """`u` squashed into `[low, high]`."""
        return self.low + (self.high - self.low) * (jnp.tanh(raw_action) + 1) / 2

    def _base(self) -> DiagonalGaussian:
        return DiagonalGaussian(self.mean, self.log_std, self.low, self.high)

    def _log_slope(self, u: Array) -> Array:
        """`log |da/du|`: `1 - tanh²(u)` by softplus, which does not run out of digits."""
        log_tanh_slope = 2 * (jnp.log(2.0) - u - jax.nn.softplus(-2 * u))
        return log_tanh_slope + jnp.log((self.high - self.low) / 2)


def head_size(action_space: Any) -> int:
    """How many outputs a policy network needs: logits, or a mean per dimension."""
    if spaces.is_discrete(action_space):
        return spaces.num_actions(action_space)
    return spaces.action_size(action_space)


def from_outputs(
    outputs: Array, log_std: Array | None, action_space: Any, *, squash: bool = False
) -> Distribution:
    """The distribution that a policy network's outputs stand for.

    Args:
        outputs: `[..., head_size]`.
        log_std: `[D]` for a Box, None for a Discrete space.
        action_space: Discrete, or Box of one axis.
        squash: for a Box, a tanh-squashed Gaussian instead of a clipped one.
    """
    if log_std is None:
        return Categorical(outputs)
    low, high = spaces.bounds(action_space)
    kind = TanhGaussian if squash else DiagonalGaussian
    return kind(outputs, log_std, low, high)
