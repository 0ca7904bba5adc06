"""Trust region policy optimisation (Schulman et al. 2015, arXiv:1502.05477).

The pain it cures: a policy gradient says where to go, not how far. A step too long, and the policy
visits other states than those the gradient was computed on; what it learns there is noise. TRPO
asks for the best policy that behaves nearly as the old one did:

    max_θ  L(θ) = E[ r A ],  r = π_θ(a|s) / π_old(a|s)
    subject to  E[ KL(π_old(·|s) ‖ π_θ(·|s)) ] <= target_kl

The objective is taken to first order (gradient g), the constraint to second (Fisher's matrix F).
Then the step is along F⁻¹g, found by conjugate gradients from products F v alone, as long as the
constraint allows: sqrt(2 target_kl / xᵀFx). A line search back from there checks both for what they
are, and keeps the old parameters where it finds nothing. Without it this is the natural policy
gradient (Kakade 2001): `line_search=False`.

The divergence is the paper's, old‖new; other implementations have it the other way round, or one
way for each kind of action. The critic is a network of its own and learns by Adam.

Read on from top to bottom: config, builder, init, objective, the step, learn. Collecting, acting
and advantages are those of every on-policy actor-critic (`jaxrl.on_policy`, `jaxrl.advantages`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jax.flatten_util import ravel_pytree

from jaxrl import entropy, objectives, on_policy
from jaxrl.advantages import Batch, count_rewards, make_batch
from jaxrl.config import number, static
from jaxrl.distributions import Distribution
from jaxrl.errors import ConfigError, check_range
from jaxrl.minibatch import (
    check_minibatches,
    mean_gradient,
    minibatch_rows,
    take,
    unless_empty,
)
from jaxrl.networks import ActorCritic
from jaxrl.on_policy import (
    OnPolicyState,
    assemble,
    at_progress,
    check_spread,
    collect,
    finish,
    network_and_envs,
)
from jaxrl.optim import adam, descend
from jaxrl.types import Algorithm, Array, EnvParams, Key, Mean, Metrics, PyTree, Trajectory
from jaxrl.vector import ResetPolicy, VectorEnv

CG_TOLERANCE = 1e-8
"""Conjugate gradients stop early at this residual, relative to the gradient's norm."""


@struct.dataclass
class TRPOConfig:
    """Settings of TRPO. Sizes are static; floats are traced.

    Defaults are those of sb3-contrib unless said otherwise.
    """

    num_envs: int = static(4, low=1)
    """Environments side by side."""
    num_steps: int = static(512, low=1)
    """Steps of each environment per update."""
    target_kl: float = number(0.01, low=0, high=1, open_low=True)
    """Largest mean KL(old‖new) of an update (the notes' δ)."""
    cg_max_steps: int = static(15, low=1)
    """Steps of conjugate gradients, each a product with Fisher's matrix."""
    cg_damping: float = number(0.1, low=0)
    """Added to the diagonal of Fisher's matrix."""
    fvp_subsample: int = static(1, low=1)
    """Fisher's matrix is that of one row in so many; the constraint is checked on all."""
    line_search: bool = static(True)
    """Check divergence and improvement; off, the step is taken as it is (natural gradient)."""
    line_search_max_iter: int = static(10, low=1)
    """How many step lengths are tried before the old parameters are kept."""
    line_search_shrinking_factor: float = number(0.8, low=0, high=1, open_low=True)
    """By what the step is shortened from one try to the next."""
    accept_ratio: float = number(0.0, low=0, high=1)
    """Least share of the improvement that the gradient promised; 0 takes any."""
    n_critic_updates: int = static(10, low=0)
    """Passes of the critic over the data of one update."""
    num_minibatches: int = static(16, low=1)
    """The critic's gradient steps per pass; must divide num_envs * num_steps."""
    learning_rate: float = number(1e-3, low=0, open_low=True)
    """The critic's step size at the first update."""
    learning_rate_final: float | None = number(None, low=0)
    """The critic's step size at the last update, reached linearly; None keeps it constant."""
    max_grad_norm: float | None = number(None, low=0, open_low=True)
    """Largest global norm of the critic's gradient; None leaves it as it is."""
    adam_eps: float = number(1e-5, low=0, open_low=True)
    """ε of the critic's Adam."""
    gamma: float = number(0.99, low=0, high=1)
    """Discount factor."""
    gae_lambda: float = number(0.95, low=0, high=1)
    """GAE's λ: 0 is the TD error, 1 the Monte-Carlo advantage."""
    ent_coef: float = number(0.0, low=0)
    """Weight of the entropy bonus in the objective at the first update."""
    ent_coef_final: float | None = number(None, low=0)
    """The same at the last update; None keeps it constant."""
    ent_coef_decay: objectives.Decay = static("linear")
    """How ent_coef goes to its final value."""
    ent_coef_hold_fraction: float = number(0.0, low=0, high=1)
    """Share of the run during which ent_coef stays at its first value."""
    ent_coef_decay_fraction: float = number(1.0, low=0, high=1, open_low=True)
    """Share of the run after which ent_coef has reached its final value."""
    entropy_target: float | None = number(None)
    """Entropy in nats that ent_coef is moved to keep, in place of a schedule; None: no control."""
    ent_coef_delta: float = number(1e-3, low=0, open_low=True)
    """How far ent_coef moves per update, with entropy_target."""
    entropy_estimator: entropy.Estimator = static("base")
    """Entropy of a squashed Gaussian: base (before squashing) or sample; others are exact."""
    normalize_advantage: bool = static(True)
    """Shift and scale advantages to mean 0 and deviation 1 within each update."""
    normalize_obs: bool = static(False)
    """Divide observations by their running deviation, after removing the mean."""
    normalize_reward: bool = static(False)
    """Divide rewards by the running deviation of the discounted return."""
    hidden_sizes: tuple[int, ...] = static((64, 64))
    """Widths of the hidden layers."""
    activation: str = static("tanh")
    """Activation of the hidden layers."""
    torso: str = static("auto")
    """mlp, cnn, or auto: cnn where an observation is an image."""
    shared_torso: bool = static(False)
    """Must stay off: the critic's steps would move the policy out of its trust region."""
    squash: bool = static(False)
    """Continuous actions: tanh-squashed Gaussian instead of a clipped one."""
    reset: ResetPolicy = static("fresh")
    """Where episodes start anew; see jaxrl.vector."""
    pool_size: int | None = static(None)
    """Start states in the pool, with reset=pooled."""

    @classmethod
    def notes(cls, **changes: Any) -> TRPOConfig:
        """The lecture notes' §5: the constrained objective, its solution hardly damped.

        Advantages as they are, no entropy bonus, δ = 0.01.
        """
        plain: dict[str, Any] = dict(normalize_advantage=False, cg_damping=1e-3, target_kl=0.01)
        return cls(**(plain | changes))


class Parts(NamedTuple):
    """What the functions below are built from; fixed before anything is traced."""

    network: ActorCritic
    venv: VectorEnv
    config: TRPOConfig  # for its sizes; its numbers are read from the train state


class Step(NamedTuple):
    """What a policy update did, scalars.

    Attributes:
        gain: the objective's rise, 0 where nothing was accepted.
        kl: mean KL(old‖new) of the parameters that were kept.
        fraction: share of the longest step that was taken, 0 where none was.
    """

    gain: Array
    kl: Array
    fraction: Array


def trpo(env: Any, config: TRPOConfig | None = None) -> Algorithm:
    """Builds TRPO for an environment.

    Args:
        env: an environment with a Discrete or a Box action space.
        config: settings; default `TRPOConfig()`.

    Raises:
        ConfigError: a setting out of range, a batch that the minibatches do not divide, or one
            torso for actor and critic.
        SpaceError: an action or observation space that TRPO cannot take.
        UnknownNameError: a name in the config that no table has.
    """
    config = config or TRPOConfig()
    if config.shared_torso:
        raise ConfigError(
            "shared_torso=True does not go with TRPO: the critic's gradient steps would move the "
            "policy outside of its trust region; use shared_torso=False."
        )
    network, venv = network_and_envs(env, config)
    check_minibatches(config.num_envs, config.num_steps, config.num_minibatches)
    rows = config.num_envs * config.num_steps
    check_spread(config, rows)
    check_range("fvp_subsample", config.fvp_subsample, 1, rows)
    parts = Parts(network, venv, config)
    return assemble("trpo", env, parts, init=init, collect=collect, learn=learn)


def init(parts: Parts, key: Key, env_params: EnvParams, total_updates: Any = 0) -> OnPolicyState:
    """A fresh train state; `total_updates` is where the schedules end. Only the critic has Adam."""
    optimizer = adam(parts.config.max_grad_norm, parts.config.adam_eps)
    state = on_policy.init(parts, optimizer, key, env_params, total_updates)
    return state.replace(opt_state=optimizer.init(state.params["critic"]))


def objective(
    policy: Distribution, old: Distribution, batch: Batch, config: TRPOConfig
) -> tuple[Array, Array]:
    """`E[r A] + ent_coef · E[H]` and `E[KL(π_old‖π_θ)]` on rows `[N]`, both scalars."""
    log_ratio = policy.log_prob(batch.raw_action) - old.log_prob(batch.raw_action)
    surrogate = objectives.mean(jnp.exp(log_ratio) * batch.advantage, batch.weight)
    bonus = objectives.mean(entropy.of(policy, batch.entropy_noise), batch.weight)
    return surrogate + config.ent_coef * bonus, old.kl_divergence(policy).mean()


def fisher_vector_product(
    policy: Callable[[Array], Distribution], theta: Array, num_rows: int, damping: Array | float
) -> Callable[[Array], Array]:
    """`v -> (F + damping I) v`, `F` the Hessian of the mean KL(π_θ‖·) at θ.

    In Gauss and Newton's form, `F = Jᵀ M J / N` with `J` the Jacobian of the distributions'
    parameters and `M` their Fisher information: no second derivative of the network, and never
    negative, whatever the rounding. The network is linearised once for all products.

    Args:
        policy: parameters `[P]` to distributions of `num_rows` rows.
        theta: `[P]`.
        num_rows: `N`.
        damping: added to the diagonal.
    """
    distribution, jvp = jax.linearize(policy, theta)
    transposed = jax.linear_transpose(jvp, theta)

    def product(v: Array) -> Array:
        (pulled,) = transposed(distribution.fisher_product(jvp(v)))
        return pulled / num_rows + damping * v

    return product


def conjugate_gradients(product: Callable[[Array], Array], b: Array, max_steps: int) -> Array:
    """`x` with `A x = b` for a positive definite A known by its products (Hestenes & Stiefel 1952).

    A fixed number of steps, of which those after convergence change nothing, and not
    `jax.scipy.sparse.linalg.cg`: vmapped over ten seeds on a CPU, that gave NaN and 1e14 where
    this gives the solution.

    Args:
        product: `v [P] -> A v [P]`.
        b: `[P]`; 0 gives 0.
        max_steps: static.
    """
    enough = CG_TOLERANCE**2 * (b @ b)

    def step(_: int, state: tuple[Array, Array, Array, Array]) -> tuple[Array, ...]:
        x, residual, direction, square = state
        towards = product(direction)
        length = square / (direction @ towards)
        left = residual - length * towards
        new_square = left @ left
        new = (x + length * direction, left, left + new_square / square * direction, new_square)
        return tuple(jnp.where(square > enough, n, o) for n, o in zip(new, state, strict=True))

    return jax.lax.fori_loop(0, max_steps, step, (jnp.zeros_like(b), b, b, b @ b))[0]


def policy_step(
    policy: Callable[[Array, Array], Distribution], theta: Array, batch: Batch, config: TRPOConfig
) -> tuple[Array, Step]:
    """The policy's parameters after one update, bit for bit the old ones where it is refused.

    Args:
        policy: `(parameters [P], obs) -> distributions`.
        theta: `[P]`.
        batch: rows `[N, ...]`, advantages as they are to be used.
        config: schedules already applied.
    """
    old = policy(theta, batch.obs)

    def evaluate(theta: Array) -> tuple[Array, Array]:
        return objective(policy(theta, batch.obs), old, batch, config)

    (start, _), pull = jax.vjp(evaluate, theta)
    (gradient,) = pull((jnp.ones_like(start), jnp.zeros_like(start)))
    some = batch.obs[_subsample(len(batch.obs), config.fvp_subsample)]
    product = fisher_vector_product(
        lambda theta: policy(theta, some), theta, some.shape[0], config.cg_damping
    )
    direction = conjugate_gradients(product, gradient, config.cg_max_steps)
    curvature = direction @ product(direction)
    # Where the gradient is 0 so is the direction: there is no step, rather than 0 · ∞.
    length = jnp.where(curvature > 0, jnp.sqrt(2 * config.target_kl / curvature), 0.0)
    step = length * direction

    if not config.line_search:
        new, kl = evaluate(theta + step)
        return theta + step, Step(new - start, kl, jnp.ones_like(kl))
    return backtrack(evaluate, theta, step, start, gradient @ step, config)


def _subsample(num_rows: int, one_in: int) -> Any:
    """Rows for Fisher's matrix, always the same ones.

    Drawn, because equally spaced ones may be those of the same few environments.
    """
    if one_in == 1:
        return slice(None)
    return np.sort(np.random.default_rng(0).permutation(num_rows)[: num_rows // one_in])


def backtrack(
    evaluate: Callable[[Array], tuple[Array, Array]],
    theta: Array,
    step: Array,
    start: Array,
    promised: Array,
    config: TRPOConfig,
) -> tuple[Array, Step]:
    """The first of ever shorter steps that keeps the bound and improves the objective.

    Args:
        evaluate: parameters `[P]` to objective and mean divergence.
        theta: where the step starts, `[P]`.
        step: the longest step, `[P]`.
        start: the objective there.
        promised: by what the longest step would raise it, were it linear.
        config: the bound, and how to search.
    """

    def attempt(k: Array) -> tuple[Array, Step]:
        fraction = config.line_search_shrinking_factor ** k.astype(theta.dtype)
        new = theta + fraction * step
        value, kl = evaluate(new)
        gain = value - start
        good = (kl <= config.target_kl) & (gain > config.accept_ratio * fraction * promised)
        # A number that is not finite makes both comparisons false: such a step is refused.
        good &= gain > 0
        kept = Step(gain, kl, fraction)
        return jnp.where(good, new, theta), jax.tree.map(lambda x: jnp.where(good, x, 0.0), kept)

    def goes_on(loop: tuple[Array, tuple[Array, Step]]) -> Array:
        k, (_, kept) = loop
        return (kept.fraction == 0) & (k < config.line_search_max_iter)

    def body(loop: tuple[Array, tuple[Array, Step]]) -> tuple[Array, tuple[Array, Step]]:
        return loop[0] + 1, attempt(loop[0])

    zero = jnp.zeros_like(start)
    none = (theta, Step(zero, zero, zero))
    return jax.lax.while_loop(goes_on, body, (jnp.int32(0), none))[1]


def fit_critic(
    parts: Parts, state: OnPolicyState, batch: Batch, key: Key, learning_rate: Array
) -> tuple[PyTree, PyTree, Array]:
    """`n_critic_updates` passes of minibatch descent on `½ E[(V - target)²]`.

    Returns:
        The critic's parameters, its optimiser's state, and the mean loss (0 of no pass).
    """
    config = state.config
    optimizer = adam(config.max_grad_norm, config.adam_eps)
    passes, per_pass = parts.config.n_critic_updates, parts.config.num_minibatches

    def critic_loss(critic: PyTree, rows: Batch) -> tuple[Array, Metrics]:
        value = parts.network.value({"critic": critic}, rows.obs)
        loss = objectives.squared_value_loss(value, rows.target, weight=rows.weight)
        return loss, {"loss/value": Mean.of(loss)}

    def step(carry: tuple[PyTree, PyTree], rows: Array) -> tuple[Any, Metrics]:
        critic, opt_state = carry
        minibatch = take(batch, rows)
        grads, metrics = mean_gradient(critic_loss, critic, minibatch)
        new = descend(optimizer, grads, opt_state, critic, learning_rate)
        return unless_empty(minibatch.weight, new, carry), metrics

    minibatches = minibatch_rows(key, batch.target.size, per_pass, passes)
    start = (state.params["critic"], state.opt_state)
    (critic, opt_state), metrics = jax.lax.scan(step, start, minibatches)
    losses = metrics["loss/value"].total
    return critic, opt_state, losses.sum() / max(losses.size, 1)


def learn(parts: Parts, state: OnPolicyState, trajectory: Trajectory) -> tuple[Any, Metrics]:
    """One step of the policy and some passes of the critic on one trajectory `[T, B]`."""
    state = count_rewards(state, trajectory)
    batch = make_batch(parts, state, trajectory)
    now = at_progress(state)
    key, key_shuffle, key_entropy = jax.random.split(state.key, 3)
    batch = batch._replace(
        entropy_noise=entropy.noise(parts.network, parts.config, key_entropy, batch.target.shape)
    )
    if now.normalize_advantage:
        advantage = objectives.normalize_advantage(batch.advantage, batch.weight)
        batch = batch._replace(advantage=advantage)

    theta, unravel = ravel_pytree(state.params["actor"])

    def policy(theta: Array, obs: Array) -> Distribution:
        return parts.network.policy({"actor": unravel(theta)}, obs)

    # An accelerator's short mantissas would ruin residuals and compare steps by their rounding.
    with jax.default_matmul_precision("highest"):
        entropies = entropy.of(policy(theta, batch.obs), batch.entropy_noise)
        bonus = objectives.mean(entropies, batch.weight)
        new_theta, step = policy_step(policy, theta, batch, now)
        critic, opt_state, value_loss = fit_critic(
            parts, state, batch, key_shuffle, now.learning_rate
        )
    metrics = {
        "loss/policy": Mean.of(-step.gain),
        "loss/value": Mean.of(value_loss),
        "policy/entropy": Mean.of(bonus),
        "policy/kl": Mean.of(step.kl),
        "policy/step_fraction": Mean.of(step.fraction),
        "policy/accepted": Mean.of(step.fraction > 0),
        "value/explained_variance": Mean.of(
            objectives.explained_variance(batch.value, batch.target, batch.weight)
        ),
        "schedule/learning_rate": Mean.of(now.learning_rate),
        "schedule/ent_coef": Mean.of(now.ent_coef),
    }
    state = finish(
        state.replace(key=key),
        trajectory,
        params={"actor": unravel(new_theta), "critic": critic},
        opt_state=opt_state,
        entropy_now=bonus,
    )
    return state, metrics | state.vector.episodes
