"""snake-v0 against a plain Python model of its rules, step by step, and where its food falls."""

from collections import deque

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrl_envs.snake import Snake, SnakeState

UP, RIGHT, DOWN, LEFT = range(4)
MOVES = {UP: (-1, 0), RIGHT: (0, 1), DOWN: (1, 0), LEFT: (0, -1)}
KEY = jax.random.key(0)
SMALL = Snake(5, start_length=3)
STEP = jax.jit(SMALL.step_env)
PARAMS = SMALL.default_params


class Model:
    """The rules in plain Python: a queue of cells, the head last."""

    def __init__(self, body, direction, size):
        self.body, self.direction, self.size = deque(body), direction, size

    def step(self, action, food):
        """Reward, and whether the snake has crashed; it then stays where it was."""
        if (action, self.direction) not in {(UP, DOWN), (DOWN, UP), (LEFT, RIGHT), (RIGHT, LEFT)}:
            self.direction = action
        row, column = self.body[-1]
        down, right = MOVES[self.direction]
        head = (row + down, column + right)
        rest = list(self.body) if head == food else list(self.body)[1:]
        if head in rest or not (0 <= head[0] < self.size and 0 <= head[1] < self.size):
            return -1.0, True
        self.body = deque([*rest, head])
        return float(head == food), False


def state_of(body, food, direction, size=5):
    """A state of cells, tail first."""
    life = np.zeros((size, size), np.int16)
    for i, cell in enumerate(body, 1):
        life[cell] = i
    return SnakeState(
        time=jnp.int32(0),
        life=jnp.asarray(life),
        head=jnp.array(body[-1], jnp.int32),
        food=jnp.array(food, jnp.int32),
        direction=jnp.int32(direction),
        length=jnp.int32(len(body)),
        crashed=jnp.bool_(False),
    )


def cells(state):
    """The snake's cells, tail first."""
    life = np.asarray(state.life)
    return [tuple(int(x) for x in np.argwhere(life == i)[0]) for i in range(1, life.max() + 1)]


def hungry(model, food, rng):
    """Towards the food where that is safe, so that the snake grows long; now and then at random."""
    if rng.random() < 0.1:
        return int(rng.integers(4))
    row, column = model.body[-1]
    ranked = sorted(
        MOVES, key=lambda a: abs(row + MOVES[a][0] - food[0]) + abs(column + MOVES[a][1] - food[1])
    )
    for action in ranked:
        trial = Model(model.body, model.direction, model.size)
        if not trial.step(action, food)[1] and trial.direction == action:
            return action
    return UP


def test_every_step_equals_a_plain_model():
    rng = np.random.default_rng(0)
    longest, crashes, reversals = 0, 0, 0
    for game in range(25):
        _, state = SMALL.reset_env(jax.random.key(game), PARAMS)
        model = Model([(1, 2), (2, 2), (3, 2)], DOWN, 5)
        for time in range(60):
            assert cells(state) == list(model.body)
            food = tuple(int(x) for x in state.food)
            assert food not in model.body and min(food) >= 0
            action = hungry(model, food, rng)
            reversals += (action - model.direction) % 4 == 2
            reward, crashed = model.step(action, food)
            obs, state, ours, terminated, _ = STEP(jax.random.key(time), state, action, PARAMS)
            assert float(ours) == reward and int(state.time) == time + 1
            assert bool(terminated) == crashed or int(state.length) == 25
            np.testing.assert_array_equal(obs, SMALL.get_obs(state))
            if reward <= 0:
                assert tuple(int(x) for x in state.food) == food
            longest = max(longest, len(model.body))
            crashes += crashed
            if terminated:
                break
    # What the rules are about has come up among what was compared.
    assert longest >= 15 and crashes >= 5 and reversals >= 10


@pytest.mark.parametrize(
    ("body", "direction", "action", "head", "crashed"),
    [
        # Against the direction of travel: goes on as it went.
        ([(1, 1), (1, 2), (1, 3)], RIGHT, LEFT, (1, 4), False),
        # Into the cell that the tail leaves in this very step.
        ([(1, 1), (1, 2), (2, 2), (2, 1)], LEFT, UP, (1, 1), False),
        # Into the cell after the tail: the body is still there.
        ([(0, 1), (1, 1), (1, 2), (2, 2), (2, 1)], LEFT, UP, (2, 1), True),
        ([(1, 2), (1, 3), (1, 4)], RIGHT, RIGHT, (1, 4), True),
        ([(2, 0), (1, 0), (0, 0)], UP, UP, (0, 0), True),
    ],
)
def test_necks_tails_and_walls(body, direction, action, head, crashed):
    state = state_of(body, (4, 4), direction)
    _, after, reward, terminated, _ = STEP(KEY, state, action, PARAMS)
    assert tuple(after.head.tolist()) == head
    assert bool(terminated) == bool(after.crashed) == crashed
    assert float(reward) == -crashed


def test_after_the_end_nothing_moves_and_nothing_is_paid():
    _, state, _, _, _ = STEP(KEY, state_of([(0, 1), (0, 0)], (4, 4), LEFT), LEFT, PARAMS)
    for action in (DOWN, LEFT):
        _, after, reward, terminated, _ = STEP(KEY, state, action, PARAMS)
        assert terminated and float(reward) == 0
        np.testing.assert_array_equal(after.life, state.life)
        np.testing.assert_array_equal(after.head, state.head)


def test_a_full_board_is_won():
    rows = [[(r, c) for c in (range(5) if r % 2 == 0 else range(4, -1, -1))] for r in range(5)]
    path = [cell for row in rows for cell in row]
    state = state_of(path[:-1], path[-1], RIGHT)
    obs, after, reward, terminated, _ = STEP(KEY, state, RIGHT, PARAMS)
    assert (float(reward), bool(terminated), bool(after.crashed)) == (1.0, True, False)
    assert after.food.tolist() == [-1, -1] and int(after.length) == 25
    assert float(obs[..., 2].sum()) == 0 and bool(jnp.isfinite(obs).all())
    _, again, reward, terminated, _ = STEP(KEY, after, UP, PARAMS)
    assert float(reward) == 0 and terminated and int(again.length) == 25


def chi_square(counts):
    expected = counts.sum() / len(counts)
    return ((counts - expected) ** 2 / expected).sum()


# The 99.9 % points of χ² with 20 and with 21 degrees of freedom.
def test_food_falls_uniformly_on_the_free_cells_when_eaten():
    state = state_of([(1, 1), (1, 2), (2, 2)], (2, 3), RIGHT)
    keys = jax.random.split(KEY, 20_000)
    after = jax.vmap(lambda key: STEP(key, state, RIGHT, PARAMS)[1])(keys)
    counts = np.zeros((5, 5))
    np.add.at(counts, tuple(np.asarray(after.food).T), 1)
    taken = [(1, 1), (1, 2), (2, 2), (2, 3)]
    assert all(counts[cell] == 0 for cell in taken)
    assert chi_square(counts[np.asarray(after.life[0]) == 0]) < 45.3


def test_food_falls_uniformly_at_the_start():
    _, states = SMALL.reset_batch(KEY, PARAMS, 20_000)
    counts = np.zeros((5, 5))
    np.add.at(counts, tuple(np.asarray(states.food).T), 1)
    assert all(counts[cell] == 0 for cell in [(1, 2), (2, 2), (3, 2)])
    assert chi_square(counts[np.asarray(states.life[0]) == 0]) < 46.8


def test_the_board_of_the_original():
    env = Snake()
    obs, state = env.reset_env(KEY, env.default_params)
    assert obs.shape == (15, 15, 3) and int(state.length) == 4
    assert cells(state) == [(5, 7), (6, 7), (7, 7), (8, 7)]
    np.testing.assert_allclose(obs[5:9, 7, 1], [0.25, 0.5, 0.75, 1.0])
    assert float(obs[8, 7, 0]) == 1 and float(obs[..., 2][tuple(state.food)]) == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (dict(size=2), r"size=2: needed is a whole number from 3 to 100"),
        (dict(size=101), "size=101"),
        (dict(size=7.5), r"size=7\.5"),
        (dict(size=5, start_length=6), "start_length=6: needed is a whole number from 1 to 5"),
        (dict(start_length=0), "start_length=0"),
        (dict(size="big"), "size='big': needed"),
        (dict(start_length=float("nan")), "start_length=nan: needed"),
    ],
)
def test_boards_that_cannot_be(arguments, said):
    with pytest.raises(ValueError, match=said):
        Snake(**arguments)


def test_describe_says_what_is_around_the_head():
    body = [(0, 1), (0, 2), (0, 3), (1, 3), (2, 3), (2, 2), (2, 1)]
    said = SMALL.describe(state_of(body, (4, 0), LEFT), PARAMS)
    expected = {
        "length": 7,
        "foods_eaten": 4,
        "head_row": 2,
        "head_column": 1,
        "direction": LEFT,
        "food_below": 2,
        "food_right": -1,
        "free_up": 1,
        "free_right": 0,
        "free_down": 2,
        "free_left": 1,
        "crashed": 0,
    }
    assert {name: int(said[name]) for name in expected} == expected


def test_the_picture_shows_head_food_and_which_way_the_body_lies():
    state = state_of([(1, 1), (1, 2), (2, 2), (2, 1), (3, 1)], (0, 4), DOWN)
    frame = np.asarray(jax.jit(lambda s: SMALL.render(s, PARAMS, height=100, width=140))(state))
    assert frame.shape == (100, 140, 3)

    def color(row, column):
        """The middle of a cell; the board is 100 pixels wide and 20 from the left."""
        return frame[int(row * 20 + 10), int(20 + column * 20 + 10)].astype(int)

    assert color(3, 1).argmax() == 0 and color(0, 4).argmax() == 2
    body = [color(*cell)[1] for cell in [(1, 1), (1, 2), (2, 2), (2, 1)]]
    assert body == sorted(body)  # the tail is darkest
    assert (frame[:, :20] == 40).all()
    # Joined along the body: between (1, 1) and (1, 2), not between (1, 1) and (2, 1).
    assert color(1, 1.5).argmax() == 1 and len(set(color(1.5, 1))) == 1
