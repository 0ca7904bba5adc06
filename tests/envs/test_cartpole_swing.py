"""CartPoleSwing-v0: CartPole's dynamics, and the fitness by sequences worked out by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrl_envs.cartpole import CartPole
from jaxrl_envs.cartpole_swing import CartPoleSwing

ENV, PLAIN = CartPoleSwing(), CartPole()
PARAMS = ENV.default_params
STEP = jax.jit(ENV.step_env)
KEY = jax.random.key(0)


@pytest.fixture(scope="module")
def start():
    return ENV.reset_env(KEY, PARAMS)[1]


def rewards_at(start, positions):
    """Rewards, left flags and right flags of a cart that is carried from place to place."""
    zero = jnp.float32(0)
    state, rows = start, []
    for x in positions:
        # At rest it does not move in one step: positions follow the velocity from before.
        state = state.replace(x=jnp.float32(x), x_dot=zero, theta=zero, theta_dot=zero)
        _, state, reward, _, _ = STEP(KEY, state, 1, PARAMS)
        flags = (state.has_touched_left_threshold, state.has_touched_right_threshold)
        rows.append((float(reward), *(int(flag) for flag in flags)))
    return rows


# Positions in m, the zones begin at 0.5; reward, left flag, right flag worked out by hand.
SEQUENCES = {
    "stands still": [(0.0, 1, 0, 0), (0.4, 1, 0, 0), (-0.4, 1, 0, 0)],
    "stays in a zone": [(0.6, 11, 0, 1), (0.7, 1, 0, 1), (0.6, 1, 0, 1)],
    "enters the same zone again": [(-0.6, 11, 1, 0), (0.0, 1, 1, 0), (-0.6, 1, 1, 0)],
    "half a swing": [(-0.6, 11, 1, 0), (0.0, 1, 1, 0), (0.6, 11, 1, 1), (0.0, 1, 1, 1)],
    "back into the side touched last": [
        (-0.6, 11, 1, 0),
        (0.6, 11, 1, 1),
        (0, 1, 1, 1),
        (0.6, 1, 1, 1),
    ],
    "a swing from the left": [
        (-0.6, 11, 1, 0),
        (0.6, 11, 1, 1),
        (-0.6, 111, 1, 0),
        (-0.7, 1, 1, 0),
    ],
    "a swing from the right": [(0.6, 11, 0, 1), (-0.6, 11, 1, 1), (0.6, 111, 0, 1), (0.0, 1, 0, 1)],
    "two swings": [
        (-0.6, 11, 1, 0),
        (0.6, 11, 1, 1),
        (-0.6, 111, 1, 0),
        (0.6, 11, 1, 1),
        (-0.6, 111, 1, 0),
    ],
    "the edge belongs to the zone": [(0.49, 1, 0, 0), (0.5, 11, 0, 1), (-0.5, 11, 1, 1)],
}


@pytest.mark.parametrize("name", SEQUENCES)
def test_the_fitness_of(name, start):
    rows = SEQUENCES[name]
    assert rewards_at(start, [row[0] for row in rows]) == [row[1:] for row in rows]


def test_cart_and_pole_move_as_cartpoles():
    rng = np.random.default_rng(0)
    values = rng.uniform([-2.6, -3, -0.23, -3], [2.6, 3, 0.23, 3], (200, 4)).astype(np.float32)
    actions = jnp.asarray(rng.integers(0, 2, 200))
    _, swing = ENV.reset_batch(KEY, PARAMS, 200)
    named = dict(zip(("x", "x_dot", "theta", "theta_dot"), jnp.asarray(values.T), strict=True))
    _, plain = PLAIN.reset_batch(KEY, PLAIN.default_params, 200)
    obs, after, reward, terminated, _ = jax.vmap(ENV.step_env, (None, 0, 0, None))(
        KEY, swing.replace(**named), actions, PARAMS
    )
    their_obs, theirs, their_reward, their_terminated, _ = jax.vmap(
        PLAIN.step_env, (None, 0, 0, None)
    )(KEY, plain.replace(**named), actions, PLAIN.default_params)
    np.testing.assert_array_equal(obs[:, :4], their_obs)
    np.testing.assert_array_equal(terminated, their_terminated)
    assert after.x.tolist() == theirs.x.tolist()
    # A fallen pole is paid nothing, whatever the cart touches.
    assert bool(((reward == 0) == (their_reward == 0)).all()) and 0 < terminated.mean() < 1


def test_the_same_start_as_cartpole_and_a_longer_limit(start):
    obs, swing = ENV.reset_batch(KEY, PARAMS, 50)
    np.testing.assert_array_equal(obs[:, :4], PLAIN.reset_batch(KEY, PLAIN.default_params, 50)[0])
    np.testing.assert_array_equal(obs[:, 4:], [[0.5, 0, 0, 0]] * 50)
    assert swing.last_touched.shape == (50,)
    cut = [bool(ENV.is_truncated(start.replace(time=jnp.int32(t)), PARAMS)) for t in (1999, 2000)]
    assert cut == [False, True]


def test_the_threshold_is_the_parameter_of_the_episodes_start():
    wide = PARAMS.replace(swing_threshold=1.5)
    state = ENV.reset_env(KEY, wide)[1]
    assert rewards_at(state, [1.0, 1.6]) == [(1, 0, 0), (11, 0, 1)]
    assert float(ENV.describe(state, wide)["swing_threshold"]) == 1.5


@pytest.mark.parametrize("threshold", [0.0, -0.5, 2.4, float("nan")])
def test_zones_that_cannot_be_are_refused(threshold):
    with pytest.raises(ValueError, match=f"swing_threshold={threshold} .*x_threshold=2.4"):
        PARAMS.replace(swing_threshold=threshold)


def test_a_policy_that_balances_and_swings_scores_beyond_2000():
    """A controller that tilts the pole towards where the cart is to go."""

    def step(state, key):
        goal = jnp.where(state.last_touched > 0, -0.6, 0.6)
        # Lean towards the goal, as far as the pole bears; then keep that lean.
        lean = jnp.clip(0.12 * (goal - state.x) - 0.1 * state.x_dot, -0.1, 0.1)
        push = 3.0 * (state.theta - lean) + 0.6 * state.theta_dot
        _, state, reward, terminated, _ = ENV.step_env(key, state, (push > 0) * 1, PARAMS)
        return state, (reward, terminated)

    start = ENV.reset_env(KEY, PARAMS)[1]
    _, (reward, terminated) = jax.jit(lambda s, k: jax.lax.scan(step, s, k))(
        start, jax.random.split(KEY, 2000)
    )
    assert not terminated.any() and float(reward.sum()) > 2500


def test_the_picture_marks_the_zones_and_what_was_touched(start):
    render = jax.jit(lambda s: ENV.render(s, PARAMS, height=80, width=120))
    before = np.asarray(render(start)).astype(int)
    state = start.replace(has_touched_left_threshold=jnp.bool_(True))
    touched = np.asarray(render(state)).astype(int)
    row = 80 - 15  # in the strip below the track
    assert before[row, 5].tolist() == before[row, 114].tolist() == [205, 205, 205]
    assert before[row, 60].tolist() == [255, 255, 255]
    assert touched[row, 5].argmax() == 1 and touched[row, 114].tolist() == [205, 205, 205]
    # All above the track is CartPole's.
    plain = jax.jit(lambda s: PLAIN.render(s, PLAIN.default_params, height=80, width=120))(state)
    np.testing.assert_array_equal(touched[:60], plain[:60])
