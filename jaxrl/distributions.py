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

    def noise(self, key: Key) -> Array:
        """The randomness of one sample each; a rollout draws it for all its steps at once."""
        ...

    def sample_from(self, noise: Array) -> Array:
        """The raw actions that the noise stands for."""
        ...

    def sample(self, key: Key) -> Array:
        """One raw action each: `sample_from(noise(key))`."""
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

    def fisher_product(self, tangent: Any) -> Any:
        """The Hessian of `Σ KL(self‖·)` at self, by the distribution's parameters, times a tangent.

        The sum is over the batch. Tangent and product have the structure of the distribution; the
        Hessian is Fisher's information matrix, and never negative.
        """
        ...

    def env_action(self, raw_action: Array) -> Array:
        """What the environment is given for a raw action."""
        ...


class Categorical(NamedTuple):
    """Over actions `0 … A-1`. `log_probs`: normalised, `[..., A]`; see `from_logits`.

    distrax normalises its logits anew for every quantity, three times in a PPO loss; here it is
    done once. The tests hold every method against `distrax.Categorical`.
    """

    log_probs: Array

    @classmethod
    def from_logits(cls, logits: Array) -> Categorical:
        """Of logits `[..., A]` that need not be normalised."""
        return cls(jax.nn.log_softmax(logits))

    def noise(self, key: Key) -> Array:
        """Standard Gumbel noise, `[..., A]`."""
        return jax.random.gumbel(key, self.log_probs.shape, self.log_probs.dtype)

    def sample_from(self, noise: Array) -> Array:
        """`[...]` int32, by Gumbel's trick: the argmax of noisy log-probabilities."""
        return jnp.argmax(self.log_probs + noise, axis=-1).astype(jnp.int32)

    def sample(self, key: Key) -> Array:
        """`[...]` int32."""
        return self.sample_from(self.noise(key))

    def log_prob(self, raw_action: Array) -> Array:
        """`[...]`, of actions int `[...]` in `0 … A-1`; others are not checked and give 0."""
        # A masked sum, not a gather: it fuses with what surrounds it.
        chosen = raw_action[..., None] == jnp.arange(self.log_probs.shape[-1])
        return jnp.where(chosen, self.log_probs, 0.0).sum(-1)

    def entropy(self) -> Array:
        """`-Σ π log π`, `[...]`; an action of probability 0 adds nothing."""
        return -_expectation(self.log_probs, self.log_probs)

    def mode(self) -> Array:
        """The likeliest action, `[...]` int32."""
        return jnp.argmax(self.log_probs, axis=-1).astype(jnp.int32)

    def kl_divergence(self, other: Categorical) -> Array:
        """`Σ π log(π / π')`, `[...]`."""
        return _expectation(self.log_probs, self.log_probs - other.log_probs)

    def fisher_product(self, tangent: Categorical) -> Categorical:
        """`(diag π - π πᵀ) u`, by logits: log-probabilities are logits that are normalised."""
        probs = jnp.exp(self.log_probs)
        mean = (probs * tangent.log_probs).sum(-1, keepdims=True)
        return Categorical(probs * (tangent.log_probs - mean))

    def env_action(self, raw_action: Array) -> Array:
        """The action itself."""
        return raw_action


def _expectation(log_probs: Array, values: Array) -> Array:
    """`Σ exp(log_probs) · values` with 0 · ∞ = 0, over the last axis."""
    possible = log_probs > -jnp.inf
    return jnp.where(possible, jnp.exp(log_probs) * jnp.where(possible, values, 0.0), 0.0).sum(-1)


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

    def noise(self, key: Key) -> Array:
        """Standard normal noise, `[..., D]`."""
        return jax.random.normal(key, self.mean.shape, self.mean.dtype)

    def sample_from(self, noise: Array) -> Array:
        """`[..., D]`, unclipped."""
        return self.mean + jnp.exp(self.log_std) * noise

    def sample(self, key: Key) -> Array:
        """`[..., D]`, unclipped."""
        return self.sample_from(self.noise(key))

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

    def fisher_product(self, tangent: DiagonalGaussian) -> DiagonalGaussian:
        """`u / σ²` for the mean, `2 u` for log σ, as often as it is shared; bounds have none."""
        shared = self.mean.size // self.log_std.size
        return DiagonalGaussian(
            mean=tangent.mean * jnp.exp(-2 * self.log_std),
            log_std=2.0 * shared * tangent.log_std,
            low=jnp.zeros_like(self.low),
            high=jnp.zeros_like(self.high),
        )

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

    def noise(self, key: Key) -> Array:
        """Standard normal noise, `[..., D]`."""
        return self._base().noise(key)

    def sample_from(self, noise: Array) -> Array:
        """`u`, `[..., D]`."""
        return self._base().sample_from(noise)

    def sample(self, key: Key) -> Array:
        """`u`, `[..., D]`."""
        return self.sample_from(self.noise(key))

    def log_prob(self, raw_action: Array) -> Array:
        """Log-density of the squashed action, from `u` `[..., D]`; finite however far out."""
        return self._base().log_prob(raw_action) - self._log_slope(raw_action).sum(-1)

    def entropy(self) -> Array:
        """Of `u`, before squashing: the squashed one has no closed form. `[...]`."""
        return self._base().entropy()

    def mode(self) -> Array:
        """The mean of `u`: the median of the squashed action."""
        return self.mean

    def kl_divergence(self, other: TanhGaussian) -> Array:
        """Exact: both sides are squashed alike, so it is that of the normals. `[...]`."""
        return self._base().kl_divergence(other._base())

    def fisher_product(self, tangent: TanhGaussian) -> TanhGaussian:
        """That of `u`: squashing changes no divergence."""
        return TanhGaussian(*self._base().fisher_product(DiagonalGaussian(*tangent)))

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


def noise_for(key: Key, leading: tuple[int, ...], action_space: Any) -> Array:
    """Noise for a batch of policies before their outputs are known, `[*leading, head_size]`.

    The same numbers as `noise(key)` of the distributions themselves.
    """
    outputs = jnp.zeros((*leading, head_size(action_space)))
    log_std = None if spaces.is_discrete(action_space) else jnp.zeros(outputs.shape[-1:])
    return from_outputs(outputs, log_std, action_space).noise(key)


def uniform_from(noise: Array, action_space: Any) -> Array:
    """Actions uniform over the space, of the noise that `noise_for` gave, in place of a policy's.

    The argmax of Gumbel noise is uniform over its places; a normal's distribution function of it is
    uniform in [0, 1].
    """
    if spaces.is_discrete(action_space):
        return jnp.argmax(noise, axis=-1).astype(jnp.int32)
    low, high = spaces.bounds(action_space)
    return low + (high - low) * jax.scipy.special.ndtr(noise)


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
        return Categorical.from_logits(outputs)
    low, high = spaces.bounds(action_space)
    kind = TanhGaussian if squash else DiagonalGaussian
    return kind(outputs, log_std, low, high)
