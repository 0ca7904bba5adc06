"""Returns against a plain loop, against rlax, and against the ways peers get them wrong."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import rlax
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxrl import returns
from jaxrl.errors import ConfigError

GAMMA, LAMBDA = 0.9, 0.7
SAME = dict(rtol=1e-5, atol=1e-6)
"""Of the same inputs in float32."""
EXACT = dict(rtol=0, atol=1e-12)
"""In double precision."""

# Compiled once for all examples: a scan outside of `jit` is compiled at every call.
gae = jax.jit(returns.gae)
lambda_returns = jax.jit(returns.lambda_returns)
n_step_returns = jax.jit(returns.n_step_returns, static_argnames="n")
vtrace = jax.jit(returns.vtrace)
rlax_errors = jax.jit(rlax.vtrace)


def episodes(seed, length=12, p=0.25):
    """Rewards, values and ends anywhere, both kinds at once included."""
    rng = np.random.default_rng(seed)
    reward, value, next_value = rng.normal(size=(3, length)).astype(np.float32)
    terminated, truncated = rng.random((2, length)) < p
    return reward, value, next_value, terminated, truncated


def consistent_episodes(seed):
    """Those of a value function: V(next_obs_t) is V(obs_{t+1}) within an episode."""
    reward, value, next_value, terminated, truncated = episodes(seed)
    ended = terminated | truncated
    next_value = np.where(ended, next_value, np.append(value[1:], next_value[-1]))
    return reward, value, next_value, terminated, truncated


def pieces(truncated, *rows):
    """The rows cut where time limits cut them."""
    cuts = np.flatnonzero(truncated[:-1]) + 1
    return zip(*(map(jnp.asarray, np.split(x, cuts)) for x in rows), strict=True)


def loop_gae(reward, value, next_value, terminated, truncated, gamma=GAMMA, lam=LAMBDA):
    advantage, later = np.zeros(len(reward)), 0.0
    for t in reversed(range(len(reward))):
        if terminated[t] or truncated[t]:
            later = 0.0
        bootstrap = 0.0 if terminated[t] else gamma * next_value[t]
        later = reward[t] + bootstrap - value[t] + gamma * lam * later
        advantage[t] = later
    return advantage


def loop_n_step(reward, next_value, terminated, truncated, n, gamma=GAMMA):
    out = []
    for t in range(len(reward)):
        total, k = 0.0, t
        for i in range(n):
            k = t + i
            total += gamma**i * reward[k]
            if terminated[k] or truncated[k] or k == len(reward) - 1:
                break
        out.append(total + (0.0 if terminated[k] else gamma ** (k - t + 1) * next_value[k]))
    return np.array(out)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([0.0, 0.25, 0.9]))
def test_gae_is_the_loop(seed, p):
    data = episodes(seed, p=p)
    ours = gae(*data, gamma=GAMMA, gae_lambda=LAMBDA)
    np.testing.assert_allclose(ours, loop_gae(*data), **SAME)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6))
def test_gae_is_rlax_vtrace(seed):
    """rlax's GAE cannot be told V(final_obs); its V-trace can, with ρ = 1 and λ cut at ends."""
    reward, value, next_value, terminated, truncated = map(jnp.asarray, episodes(seed))
    ended = terminated | truncated
    errors = rlax_errors(
        value,
        next_value,
        reward,
        GAMMA * (1.0 - terminated),
        jnp.ones_like(reward),
        lambda_=LAMBDA * (1.0 - ended),
    )
    ours = gae(reward, value, next_value, terminated, truncated, gamma=GAMMA, gae_lambda=LAMBDA)
    np.testing.assert_allclose(ours, errors, **SAME)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6))
def test_lambda_returns_are_gae_plus_value(seed):
    reward, value, next_value, terminated, truncated = consistent_episodes(seed)
    loop = loop_gae(reward, value, next_value, terminated, truncated)
    ours = lambda_returns(
        *map(jnp.asarray, (reward, next_value, terminated, truncated)), gamma=GAMMA, lambda_=LAMBDA
    )
    np.testing.assert_allclose(ours, loop + value, **SAME)


@pytest.mark.parametrize("seed", range(4))
def test_lambda_returns_are_rlax(seed):
    """Pieces between truncations are rlax's alone; ours must put them together itself."""
    reward, _, next_value, terminated, truncated = episodes(seed)
    ours = lambda_returns(
        *map(jnp.asarray, (reward, next_value, terminated, truncated)), gamma=GAMMA, lambda_=LAMBDA
    )
    theirs = [
        rlax.lambda_returns(r, GAMMA * (1.0 - end), v, LAMBDA)
        for r, v, end in pieces(truncated, reward, next_value, terminated)
    ]
    np.testing.assert_allclose(ours, np.concatenate(theirs), **SAME)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 5))
def test_n_step_returns_are_the_loop(seed, n):
    reward, _, next_value, terminated, truncated = episodes(seed)
    ours = n_step_returns(
        *map(jnp.asarray, (reward, next_value, terminated, truncated)), gamma=GAMMA, n=n
    )
    theirs = loop_n_step(reward, next_value, terminated, truncated, n)
    np.testing.assert_allclose(ours, theirs, **SAME)


def rlax_vtrace(log_ratio, reward, value, next_value, terminated, **settings):
    """rlax on a piece that no time limit cuts: it takes V(next_obs_t) for V(obs_{t+1})."""
    discount = GAMMA * (1.0 - terminated)
    return rlax.vtrace_td_error_and_advantage(
        value, next_value, reward, discount, jnp.exp(log_ratio), **settings
    )


@pytest.mark.parametrize("seed", range(4))
def test_vtrace_is_rlax(seed):
    """Pieces between truncations are rlax's alone; ours must put them together itself."""
    reward, value, next_value, terminated, truncated = consistent_episodes(seed)
    log_ratio = np.random.default_rng(seed + 100).normal(size=len(reward)).astype(np.float32)
    rows = [log_ratio, reward, value, next_value, terminated]
    ours = vtrace(*map(jnp.asarray, [*rows, truncated]), gamma=GAMMA, lambda_=LAMBDA, rho_bar=1.5)
    settings = dict(lambda_=LAMBDA, clip_rho_threshold=1.5, clip_pg_rho_threshold=1.5)
    theirs = [rlax_vtrace(*piece, **settings) for piece in pieces(truncated, *rows)]
    errors = np.concatenate([piece.errors for piece in theirs])
    advantage = np.concatenate([piece.pg_advantage for piece in theirs])
    np.testing.assert_allclose(ours.target - value, errors, **SAME)
    np.testing.assert_allclose(ours.advantage, advantage, **SAME)


def test_vtrace_on_policy_is_gae():
    """With ratios of 1 the targets are λ-returns and the advantages are GAE's."""
    steps = tuple(map(jnp.asarray, consistent_episodes(11)))
    for lam in (0.0, LAMBDA, 1.0):
        ours = vtrace(jnp.zeros_like(steps[0]), *steps, gamma=GAMMA, lambda_=lam)
        plain = gae(*steps, gamma=GAMMA, gae_lambda=lam)
        np.testing.assert_allclose(ours.target - steps[1], plain, **SAME)
        np.testing.assert_allclose(ours.advantage, plain, **SAME)


def test_vtrace_traces_are_cut_by_their_own_threshold():
    """By hand, γ = 1: ratios of 3 count as c̄ = 0.5 in the trace and as ρ̄ = 2 in the errors."""
    never = jnp.zeros(2, bool)
    ours = vtrace(
        jnp.log(jnp.full(2, 3.0)),
        jnp.array([1.0, 1.0]),
        jnp.array([0.0, 4.0]),
        jnp.array([4.0, 6.0]),
        never,
        never,
        gamma=1.0,
        rho_bar=2.0,
        c_bar=0.5,
    )
    # δ = 2 (1 + 4 - 0), 2 (1 + 6 - 4); the second flows back at a half.
    np.testing.assert_allclose(ours.target, [0 + 10 + 0.5 * 6, 4 + 6], rtol=1e-6)
    np.testing.assert_allclose(ours.advantage, [2 * (1 + 10 - 0), 2 * (1 + 6 - 4)], rtol=1e-6)


def test_double_precision_is_kept():
    """Also where γ and λ are Python's floats, which are doubles."""
    with jax.enable_x64(True):
        reward, value, next_value, terminated, truncated = (
            jnp.asarray(x, bool if x.dtype == bool else float) for x in consistent_episodes(13)
        )
        ends = (terminated, truncated)
        ours = gae(reward, value, next_value, *ends, gamma=GAMMA, gae_lambda=LAMBDA)
        loop = loop_gae(*map(np.asarray, (reward, value, next_value, *ends)))
        np.testing.assert_allclose(ours, loop, **EXACT)
        settings = dict(gamma=GAMMA, lambda_=LAMBDA)
        both = lambda_returns(reward, next_value, *ends, **settings)
        np.testing.assert_allclose(both, loop + value, **EXACT)
        even = vtrace(jnp.zeros_like(reward), reward, value, next_value, *ends, **settings)
        np.testing.assert_allclose(even.target, both, **EXACT)
        n_step = n_step_returns(reward, next_value, *ends, gamma=GAMMA, n=3)
        loop = loop_n_step(*map(np.asarray, (reward, next_value, *ends)), 3)
        np.testing.assert_allclose(n_step, loop, **EXACT)
        to_go = returns.reward_to_go(reward, *ends, GAMMA)
        alone = gae(reward, *(jnp.zeros_like(reward),) * 2, *ends, gamma=GAMMA, gae_lambda=1.0)
        np.testing.assert_allclose(to_go, alone, **EXACT)


def test_n_step_returns_are_rlax_without_ends():
    reward, _, next_value, _, _ = map(jnp.asarray, episodes(5, length=9))
    never = jnp.zeros(9, bool)
    ours = n_step_returns(reward, next_value, never, never, gamma=GAMMA, n=3)
    theirs = rlax.n_step_bootstrapped_returns(
        reward, jnp.full(9, GAMMA), next_value, 3, lambda_t=1.0
    )
    np.testing.assert_allclose(ours, theirs, rtol=1e-5)


def test_reward_to_go_by_hand():
    reward = jnp.array([1.0, 2.0, 3.0, 4.0])
    terminated = jnp.array([False, True, False, False])
    truncated = jnp.array([False, False, True, False])
    ours = returns.reward_to_go(reward, terminated, truncated, 0.5)
    np.testing.assert_allclose(ours, [2.0, 2.0, 3.0, 4.0])


def test_td_errors_are_rlax():
    reward, value, next_value, terminated, _ = map(jnp.asarray, episodes(7))
    theirs = jax.vmap(rlax.td_learning)(value, reward, GAMMA * (1.0 - terminated), next_value)
    ours = returns.td_errors(reward, value, next_value, terminated, GAMMA)
    np.testing.assert_allclose(ours, theirs, **SAME)


class TestTruncation:
    """A cut at t = 3 with V(final_obs) = 5: what five public implementations make of it."""

    reward = np.ones(6, np.float32)
    value = np.full(6, 2.0, np.float32)
    next_value = np.array([2, 2, 2, 5, 2, 2], np.float32)
    terminated = np.zeros(6, bool)
    truncated = np.arange(6) == 3

    def ours(self):
        return gae(
            *map(
                jnp.asarray,
                (self.reward, self.value, self.next_value, self.terminated, self.truncated),
            ),
            gamma=GAMMA,
            gae_lambda=LAMBDA,
        )

    def test_by_hand(self):
        delta = [1 + 0.9 * 2 - 2] * 3 + [1 + 0.9 * 5 - 2] + [1 + 0.9 * 2 - 2] * 2
        expected = [0.0] * 6
        expected[5] = delta[5]
        expected[4] = delta[4] + 0.63 * expected[5]
        expected[3] = delta[3]
        for t in (2, 1, 0):
            expected[t] = delta[t] + 0.63 * expected[t + 1]
        np.testing.assert_allclose(self.ours(), expected, rtol=1e-5)

    @pytest.mark.parametrize(
        "wrong",
        ["truncation is death", "trace not cut", "step dropped", "pre-step value", "next episode"],
    )
    def test_is_none_of_the_wrong_ways(self, wrong):
        reward, value, next_value = self.reward.copy(), self.value, self.next_value.copy()
        terminated, truncated = self.terminated.copy(), self.truncated.copy()
        if wrong == "truncation is death":
            terminated = truncated
        elif wrong == "trace not cut":
            truncated = np.zeros(6, bool)
        elif wrong == "step dropped":
            next_value[3] = (value[3] - reward[3]) / GAMMA
        elif wrong == "pre-step value":
            terminated, reward[3] = truncated, reward[3] + GAMMA * value[3]
        else:
            next_value[3] = 2.0  # V of the observation after the reset
        theirs = loop_gae(reward, value, next_value, terminated, truncated)
        assert np.abs(np.asarray(self.ours()) - theirs)[:4].max() > 0.1


def test_trailing_axes_are_independent():
    data = [np.stack(x, axis=1) for x in zip(*(episodes(s) for s in range(3)), strict=True)]
    together = gae(*map(jnp.asarray, data), gamma=GAMMA, gae_lambda=LAMBDA)
    for i in range(3):
        np.testing.assert_allclose(together[:, i], loop_gae(*episodes(i)), **SAME)


def test_shapes_must_agree():
    with pytest.raises(AssertionError):
        returns.td_errors(jnp.ones(3), jnp.ones(3), jnp.ones(4), jnp.zeros(3, bool), 0.9)


def test_flags_must_be_bool_and_n_positive():
    three = jnp.ones(3)
    with pytest.raises(AssertionError):
        returns.reward_to_go(three, jnp.zeros(3, jnp.int32), jnp.zeros(3, jnp.int32), 0.9)
    with pytest.raises(ConfigError, match="n=0"):
        n_step_returns(three, three, jnp.zeros(3, bool), jnp.zeros(3, bool), gamma=0.9, n=0)
