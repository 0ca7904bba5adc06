"""Networks: torsos, heads, and the actor-critic that policy gradients share.

Weights start orthogonal with gain √2 in the torso, 0.01 in the policy's head (so that the first
policy is close to uniform) and 1 in the value's (Engstrom et al. 2020, arXiv:2005.12729).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax.linen.initializers import constant

from jaxrl import spaces
from jaxrl.distributions import Distribution, from_outputs, head_size, noise_for
from jaxrl.errors import ConfigError, SpaceError, unknown_name
from jaxrl.products import dense_product
from jaxrl.types import Array, Key, PyTree

ACTIVATIONS: dict[str, Callable[[Array], Array]] = {
    "tanh": jnp.tanh,
    "relu": nn.relu,
    "silu": nn.silu,
    "gelu": nn.gelu,
    "elu": nn.elu,
}
TORSOS = ("auto", "mlp", "cnn")


def orthogonal(gain: float) -> Callable[..., Array]:
    """Initialiser of random matrices with orthogonal columns (or rows, if wider than tall).

    Saxe et al. 2014, arXiv:1312.6120: `gain` times a uniformly random orthogonal matrix; kernels
    of convolutions are matrices of their output channels. By Gram-Schmidt, each column twice over,
    and not by LAPACK's QR as in flax: jaxlib's batched QR waits inside the thread pool that it
    needs, so that two of them at once, as in `vmap(init)` over seeds, hang a machine of two cores.
    """

    def init(key: Key, shape: Sequence[int], dtype: Any = jnp.float32) -> Array:
        rows, columns = math.prod(shape[:-1]), shape[-1]
        tall, narrow = max(rows, columns), min(rows, columns)
        start = jax.random.normal(key, (tall, narrow), dtype)

        def add_column(k: Array, q: Array) -> Array:
            column = start[:, k]
            for _ in range(2):  # the second pass removes what rounding left of the first
                column -= q @ (q.T @ column)
            return q.at[:, k].set(column / jnp.linalg.norm(column))

        q = jax.lax.fori_loop(0, narrow, add_column, jnp.zeros_like(start))
        return gain * (q if rows >= columns else q.T).reshape(shape)

    return init


def _dense(features: int, gain: float) -> nn.Dense:
    return nn.Dense(
        features,
        kernel_init=orthogonal(gain),
        bias_init=constant(0.0),
        dot_general=dense_product,
    )


class MLPTorso(nn.Module):
    """Dense layers. `[N, O] -> [N, hidden_sizes[-1]]`."""

    hidden_sizes: Sequence[int]
    activation: Callable[[Array], Array]
    layer_norm: bool = False

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """Applies the layers to `[N, O]`."""
        for size in self.hidden_sizes:
            x = _dense(size, math.sqrt(2))(x)
            if self.layer_norm:
                x = nn.LayerNorm()(x)
            x = self.activation(x)
        return x


class PatchConv(nn.Module):
    """A convolution without padding, as one matrix product. `[N, H, W, C] -> [N, H', W', F]`.

    A convolution whose kernel differs from seed to seed becomes, under `vmap`, a grouped one,
    which XLA runs many times slower on a CPU; a product of matrices becomes a batched product.
    The patches are slices of the image side by side, `size²` of them: meant for small kernels.
    """

    features: int
    size: int

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """Applies the kernel to `[N, H, W, C]`."""
        height, width = x.shape[1] - self.size + 1, x.shape[2] - self.size + 1
        offsets = [(i, j) for i in range(self.size) for j in range(self.size)]
        patches = [x[:, i : i + height, j : j + width] for i, j in offsets]
        return _dense(self.features, math.sqrt(2))(jnp.concatenate(patches, axis=-1))


class CNNTorso(nn.Module):
    """Convolutions, then dense layers. `[N, H, W, C] -> [N, hidden_sizes[-1]]`.

    Small boards (MinAtar's 10 × 10) take one 3 × 3 convolution of 16 channels, as in Young & Tian
    2019; images from 36 pixels on the three of Mnih et al. 2015.
    """

    hidden_sizes: Sequence[int]
    activation: Callable[[Array], Array]
    layer_norm: bool = False

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """Applies the layers to `[N, H, W, C]`."""
        if min(x.shape[1:3]) < 36:
            x = self.activation(PatchConv(16, 3)(x))
        else:
            for features, size, stride in [(32, 8, 4), (64, 4, 2), (64, 3, 1)]:
                convolution = nn.Conv(
                    features,
                    (size, size),
                    (stride, stride),
                    padding="VALID",
                    kernel_init=orthogonal(math.sqrt(2)),
                )
                x = self.activation(convolution(x))
        x = x.reshape(x.shape[0], -1)
        return MLPTorso(self.hidden_sizes, self.activation, self.layer_norm)(x)


class Head(nn.Module):
    """A last layer, and for Gaussians the deviation. `[N, F] -> [N, features]`."""

    features: int
    gain: float
    log_std_size: int = 0
    log_std_init: float = 0.0

    @nn.compact
    def __call__(self, x: Array) -> tuple[Array, Array | None]:
        """The outputs, and `log_std [D]` where there is one."""
        outputs = _dense(self.features, self.gain)(x)
        if not self.log_std_size:
            return outputs, None
        return outputs, self.param("log_std", constant(self.log_std_init), (self.log_std_size,))


class ActorCritic(NamedTuple):
    """A policy and a value function as pure functions of their parameters.

    Attributes:
        init: `(key) -> params`, a dict with `actor` and `critic`, and `torso` if shared.
        policy: `(params, obs [..., *O]) -> Distribution [...]`.
        value: `(params, obs [..., *O]) -> [...]`.
        noise: `(key, leading) -> [*leading, …]`, the randomness of one sample of each of a batch
            of policies.
    """

    init: Callable[[Key], dict[str, PyTree]]
    policy: Callable[[PyTree, Array], Distribution]
    value: Callable[[PyTree, Array], Array]
    noise: Callable[[Key, tuple[int, ...]], Array]


def actor_critic(
    observation_space: Any,
    action_space: Any,
    *,
    torso: str = "auto",
    hidden_sizes: Sequence[int] = (64, 64),
    activation: str = "tanh",
    shared_torso: bool = False,
    squash: bool = False,
    log_std_init: float = 0.0,
) -> ActorCritic:
    """Builds actor and critic for an environment's spaces.

    Args:
        observation_space: a Box (or one with a shape).
        action_space: Discrete, or Box of one axis.
        torso: `mlp`, `cnn`, or `auto`: cnn where an observation is an image.
        hidden_sizes: widths of the dense layers.
        activation: one of `ACTIVATIONS`.
        shared_torso: one torso for both, instead of one each.
        squash: tanh-squashed Gaussian for a Box instead of a clipped one.
        log_std_init: log of the Gaussian's first deviation.

    Raises:
        SpaceError: a space that is neither, or bounds that squashing cannot reach.
        ConfigError: no hidden layers, or a cnn on observations that are not images.
        UnknownNameError: an unknown torso or activation.
    """
    shape = spaces.observation_shape(observation_space)
    body = make_torso(torso, shape, hidden_sizes, activation)
    discrete = spaces.is_discrete(action_space)
    if squash and not discrete:
        check_finite_bounds(action_space)
    size = head_size(action_space)
    actor_head = Head(size, 0.01, 0 if discrete else size, log_std_init)
    critic_head = Head(1, 1.0)
    actor = actor_head if shared_torso else nn.Sequential([body, actor_head])
    critic = critic_head if shared_torso else nn.Sequential([body, critic_head])

    def rows(obs: Array) -> tuple[Array, tuple[int, ...]]:
        return obs_rows(obs, shape, body)

    def features(params: PyTree, obs: Array) -> tuple[Array, tuple[int, ...]]:
        x, leading = rows(obs)
        return (body.apply(params["torso"], x) if shared_torso else x), leading

    def init(key: Key) -> dict[str, PyTree]:
        key_actor, key_critic, key_torso = jax.random.split(key, 3)
        x, _ = rows(jnp.zeros((1, *shape), jnp.float32))
        params: dict[str, PyTree] = {}
        if shared_torso:
            params["torso"] = body.init(key_torso, x)
            x = body.apply(params["torso"], x)
        return params | {"actor": actor.init(key_actor, x), "critic": critic.init(key_critic, x)}

    def policy(params: PyTree, obs: Array) -> Distribution:
        x, leading = features(params, obs)
        outputs, log_std = actor.apply(params["actor"], x)
        outputs = outputs.reshape(*leading, size)
        return from_outputs(outputs, log_std, action_space, squash=squash)

    def value(params: PyTree, obs: Array) -> Array:
        x, leading = features(params, obs)
        return critic.apply(params["critic"], x)[0].reshape(leading)

    def noise(key: Key, leading: tuple[int, ...]) -> Array:
        return noise_for(key, leading, action_space)

    return ActorCritic(init, policy, value, noise)


def obs_rows(
    obs: Array, shape: tuple[int, ...], torso: MLPTorso | CNNTorso
) -> tuple[Array, tuple[int, ...]]:
    """Observations as the float rows that a torso takes, and the leading shape to go back to."""
    leading = obs.shape[: obs.ndim - len(shape)]
    scale = 1 / 255 if obs.dtype == jnp.uint8 else 1.0
    x = obs.astype(jnp.float32) * scale if obs.dtype != jnp.float32 else obs
    flat = isinstance(torso, MLPTorso)
    return x.reshape((-1, math.prod(shape)) if flat else (-1, *shape)), leading


def make_torso(
    name: str,
    shape: tuple[int, ...],
    hidden_sizes: Sequence[int],
    activation: str,
    *,
    layer_norm: bool = False,
) -> MLPTorso | CNNTorso:
    """The torso of that name for observations of that shape.

    Raises:
        ConfigError: no hidden layers, or a cnn on observations that are not images.
        UnknownNameError: an unknown torso or activation.
    """
    if name not in TORSOS:
        raise unknown_name("torso", name, TORSOS)
    if activation not in ACTIVATIONS:
        raise unknown_name("activation", activation, ACTIVATIONS)
    if not hidden_sizes or min(hidden_sizes) < 1:
        raise ConfigError(f"hidden_sizes={tuple(hidden_sizes)}: give at least one positive width.")
    image = len(shape) == 3 and min(shape[:2]) >= 3  # the smallest kernel is 3 × 3
    if name == "cnn" and not image:
        raise ConfigError(
            "torso='cnn' needs observations [H, W, C] of at least 3 × 3 pixels, these are "
            f"{shape}: use torso='mlp'."
        )
    cnn = name == "cnn" or (name == "auto" and image)
    torso = CNNTorso if cnn else MLPTorso
    return torso(tuple(hidden_sizes), ACTIVATIONS[activation], layer_norm)


def check_finite_bounds(action_space: Any) -> None:
    """Raises `SpaceError` for a Box that squashing cannot reach the ends of."""
    low, high = spaces.bounds(action_space)
    if not (jnp.isfinite(low).all() and jnp.isfinite(high).all()):
        raise SpaceError(
            f"a squashed policy needs a bounded action space, this one is [{low}, {high}]: "
            "use squash=False where there is that setting, or bound the actions in a wrapper."
        )
