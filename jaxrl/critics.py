"""Networks of the off-policy estimators: action values, twin critics, and the actor beside them.

Weights start as in `jaxrl.networks`: orthogonal, with gain √2 in the torso, 1 in a value's head and
0.01 in the actor's.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn

from jaxrl import spaces
from jaxrl.distributions import Categorical, Distribution, TanhGaussian, head_size, noise_for
from jaxrl.networks import CNNTorso, Head, MLPTorso, check_finite_bounds, make_torso, obs_rows
from jaxrl.types import Array, Key, PyTree

LOG_STD_RANGE = (-20.0, 2.0)
"""Where the actor's log-deviation is clipped to (Haarnoja et al.'s, and Stable-Baselines3's)."""


class QNetwork(NamedTuple):
    """Values of all actions as pure functions.

    Attributes:
        init: `(key) -> params`.
        values: `(params, obs [..., *O]) -> [..., A]`.
    """

    init: Callable[[Key], PyTree]
    values: Callable[[PyTree, Array], Array]


class SoftActorCritic(NamedTuple):
    """An actor and twin critics as pure functions of `{"actor": …, "critic": …}`.

    Attributes:
        init: `(key) -> params`; the critics' have a leading axis of 2.
        policy: `(actor params, obs [..., *O]) -> Distribution [...]`.
        values: `(critic params, obs, action) -> [2, ...]` for a Box, of the environment's actions
            `[..., D]`; for Discrete spaces `action` is not looked at, and all values come,
            `[2, ..., A]`.
        noise: `(key, leading) -> [*leading, …]`, the randomness of one sample of each policy.
    """

    init: Callable[[Key], dict[str, PyTree]]
    policy: Callable[[PyTree, Array], Distribution]
    values: Callable[[PyTree, Array, Array | None], Array]
    noise: Callable[[Key, tuple[int, ...]], Array]


class DuelingHead(nn.Module):
    """`V + A - mean(A)`, Wang et al. 2016, arXiv:1511.06581 (9). `[N, F] -> [N, A]`."""

    num_actions: int

    @nn.compact
    def __call__(self, x: Array) -> tuple[Array, None]:
        """The values, and None as `Head` has it."""
        value, _ = Head(1, 1.0)(x)
        advantage, _ = Head(self.num_actions, 1.0)(x)
        return value + advantage - advantage.mean(-1, keepdims=True), None


class ActionValue(nn.Module):
    """The value of an action that is a vector. `[N, …], [N, D] -> [N]`.

    The action joins a flat observation at the first layer, and an image behind the torso.
    """

    torso: MLPTorso | CNNTorso

    @nn.compact
    def __call__(self, x: Array, action: Array) -> Array:
        """The values of actions within [-1, 1]."""
        if isinstance(self.torso, MLPTorso):
            x = self.torso(jnp.concatenate([x, action], axis=-1))
        else:
            x = jnp.concatenate([self.torso(x), action], axis=-1)
            x = MLPTorso(self.torso.hidden_sizes[-1:], self.torso.activation)(x)
        return Head(1, 1.0)(x)[0][..., 0]


def q_network(
    observation_space: Any, action_space: Any, config: Any, *, dueling: bool = False
) -> QNetwork:
    """Builds the values of a Discrete space's actions.

    Args:
        observation_space: a Box (or one with a shape).
        action_space: Discrete.
        config: has `torso`, `hidden_sizes`, `activation` and `layer_norm`.
        dueling: a head that tells the state's value from the actions' advantages.

    Raises:
        SpaceError: another space.
        ConfigError: no hidden layers, or a cnn on observations that are not images.
        UnknownNameError: an unknown torso or activation.
    """
    num_actions = spaces.num_actions(action_space)
    head = DuelingHead(num_actions) if dueling else Head(num_actions, 1.0)
    body, shape = _torso_of(observation_space, config)
    network = nn.Sequential([body, head])

    def init(key: Key) -> PyTree:
        return network.init(key, obs_rows(jnp.zeros((1, *shape)), shape, body)[0])

    def values(params: PyTree, obs: Array) -> Array:
        x, leading = obs_rows(obs, shape, body)
        return network.apply(params, x)[0].reshape(*leading, num_actions)

    return QNetwork(init, values)


def soft_actor_critic(observation_space: Any, action_space: Any, config: Any) -> SoftActorCritic:
    """Builds actor and twin critics; arguments and errors as of `q_network`, a Box is taken too.

    Raises:
        SpaceError: a Box without bounds: what is not bounded cannot be squashed into.
    """
    discrete = spaces.is_discrete(action_space)
    size = head_size(action_space)
    if not discrete:
        check_finite_bounds(action_space)
    body, shape = _torso_of(observation_space, config)
    actor = nn.Sequential([body, Head(size if discrete else 2 * size, 0.01)])
    critic = None if discrete else ActionValue(body)
    q = q_network(observation_space, action_space, config) if discrete else None

    def init(key: Key) -> dict[str, PyTree]:
        key_actor, *keys = jax.random.split(key, 3)
        x, _ = obs_rows(jnp.zeros((1, *shape)), shape, body)
        if q is not None:
            twins = [q.init(key) for key in keys]
        else:
            twins = [critic.init(key, x, jnp.zeros((1, size))) for key in keys]
        stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *twins)
        return {"actor": actor.init(key_actor, x), "critic": stacked}

    def policy(params: PyTree, obs: Array) -> Distribution:
        x, leading = obs_rows(obs, shape, body)
        outputs = actor.apply(params, x)[0].reshape(*leading, -1)
        if discrete:
            return Categorical.from_logits(outputs)
        mean, log_std = jnp.split(outputs, 2, axis=-1)
        low, high = spaces.bounds(action_space)
        return TanhGaussian(mean, jnp.clip(log_std, *LOG_STD_RANGE), low, high)

    def values(params: PyTree, obs: Array, action: Array | None = None) -> Array:
        if q is not None:
            return of_both(q.values, params, obs)
        assert action is not None, "the values of a Box's actions are asked for one by one"
        low, high = spaces.bounds(action_space)
        centred = (2 * action - (low + high)) / (high - low)
        x, leading = obs_rows(obs, shape, body)
        rows = centred.reshape(-1, size)
        return of_both(critic.apply, params, x, rows).reshape(2, *leading)

    def of_both(apply: Callable[..., Array], params: PyTree, *inputs: Array) -> Array:
        if isinstance(body, CNNTorso):  # what shares its input is one convolution, or one product
            return jax.vmap(apply, (0,) + (None,) * len(inputs))(params, *inputs)
        # Dense layers would be one product too, whose gradient is then transposed to and fro.
        twice = [jnp.broadcast_to(x, (2, *x.shape)) for x in inputs]
        return jax.vmap(apply)(params, *twice)

    def noise(key: Key, leading: tuple[int, ...]) -> Array:
        return noise_for(key, leading, action_space)

    return SoftActorCritic(init, policy, values, noise)


def _torso_of(observation_space: Any, config: Any) -> tuple[MLPTorso | CNNTorso, tuple[int, ...]]:
    shape = spaces.observation_shape(observation_space)
    body = make_torso(
        config.torso,
        shape,
        config.hidden_sizes,
        config.activation,
        layer_norm=config.layer_norm,
    )
    return body, shape
