"""RobotMaze-v0: mazes are perfect, the robot obeys walls, and the reward comes at the end alone."""

from collections import deque

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrl import check_env
from jaxrl_envs.maze import RobotMaze

ENV = RobotMaze(7)
PARAMS = ENV.default_params
STEP = jax.jit(ENV.step_env)
KEY = jax.random.key(0)
MOVES = ((-1, 0), (0, 1), (1, 0), (0, -1))


def ways_from(walls, start=(1, 1)):
    """The moves from a cell to every cell that can be reached, by breadth-first search."""
    ways, queue = {start: []}, deque([start])
    while queue:
        row, column = queue.popleft()
        for action, (down, right) in enumerate(MOVES):
            cell = (row + down, column + right)
            if not walls[cell] and cell not in ways:
                ways[cell] = [*ways[row, column], action]
                queue.append(cell)
    return ways


def mazes_of(env, count):
    """Walls `[count, size, size]` of that many starts."""
    reset = jax.jit(lambda key: env.reset_batch(key, env.default_params, count))
    return np.asarray(reset(KEY)[1].walls)


@pytest.mark.parametrize("size", [5, 7, 21])
def test_mazes_are_perfect(size):
    mazes = mazes_of(RobotMaze(size), 40)
    rooms = ((size - 1) // 2) ** 2
    for walls in mazes:
        assert walls[0].all() and walls[-1].all() and walls[:, 0].all() and walls[:, -1].all()
        assert not walls[1::2, 1::2].any() and walls[::2, ::2].all()
        ways = ways_from(walls)
        # Connected; and a connected graph with one passage fewer than rooms has no cycle.
        assert len(ways) == (~walls).sum() == rooms + (rooms - 1)
        battery = RobotMaze(size).default_params.max_steps_in_episode
        assert 2 * max(map(len, ways.values())) < battery
    assert len({walls.tobytes() for walls in mazes}) > (20 if size > 5 else 2)


def test_every_maze_of_four_rooms_comes_up():
    """Four rooms in a ring have four spanning trees: each leaves out one of four passages."""
    mazes = mazes_of(RobotMaze(5), 2000).reshape(2000, -1)
    kinds, counts = np.unique(mazes, axis=0, return_counts=True)
    assert len(kinds) == 4 and counts.min() > 440  # 500 ± 19


def play(state, actions, env=ENV, params=PARAMS):
    rewards, ended = [], []
    for action in actions:
        _, state, reward, terminated, _ = STEP(KEY, state, action, params)
        assert not env.is_truncated(state, params)
        rewards.append(float(reward))
        ended.append(bool(terminated))
    return state, rewards, ended


def test_the_exit_is_paid_once_and_at_the_end_alone():
    _, state = ENV.reset(jax.random.key(3), PARAMS)
    way = ways_from(np.asarray(state.walls))[5, 5]
    state, rewards, ended = play(state, [*way, 0, 1])
    assert rewards == [0.0] * (len(way) - 1) + [1.0, 0.0, 0.0]
    assert ended == [False] * (len(way) - 1) + [True] * 3
    assert state.robot.tolist() == [5, 5]  # nothing moves after the end
    assert bool(ENV.describe(state, PARAMS)["at_exit"])


def test_an_empty_battery_ends_the_episode_unpaid():
    short = PARAMS.replace(max_steps_in_episode=3)
    _, state = ENV.reset(KEY, short)
    _, rewards, ended = play(state, [0, 0, 0], params=short)
    assert rewards == [0, 0, 0] and ended == [False, False, True]


def test_walls_are_in_the_way_and_cost_battery():
    _, state = ENV.reset(KEY, PARAMS)
    open_ways = [~np.asarray(state.walls)[1 + down, 1 + right] for down, right in MOVES]
    said = ENV.describe(state, PARAMS)
    assert [bool(said[f"open_{way}"]) for way in ("up", "right", "down", "left")] == open_ways
    for action, (down, right) in enumerate(MOVES):
        _, after, _, _, _ = STEP(KEY, state, action, PARAMS)
        moved = [1 + down, 1 + right] if open_ways[action] else [1, 1]
        assert after.robot.tolist() == moved
        assert int(ENV.describe(after, PARAMS)["battery"]) == 48


def test_the_full_view_holds_walls_exit_battery_and_robot():
    obs, state = ENV.reset(KEY, PARAMS)
    np.testing.assert_array_equal(obs[..., 0] > 0, state.walls)
    assert np.argwhere(np.asarray(obs[..., 1])).tolist() == [[5, 5]]
    assert np.argwhere(np.asarray(obs[..., 3])).tolist() == [[1, 1]]
    later = ENV.get_obs(state.replace(time=jnp.int32(12)), PARAMS)
    np.testing.assert_allclose(later[..., 2], 37 / 49, rtol=1e-6)


@pytest.mark.parametrize("place", [(1, 1), (3, 4), (5, 5)])
def test_the_local_view_is_what_lies_around(place):
    env = RobotMaze(7, view="local", radius=2)
    obs, state = env.reset(KEY, PARAMS)
    assert obs.shape == env.observation_space().shape == (5, 5, 3)
    state = state.replace(robot=jnp.array(place), time=jnp.int32(7))
    obs = np.asarray(env.get_obs(state, PARAMS))
    walls = np.pad(np.asarray(state.walls), 2, constant_values=True)
    row, column = place
    np.testing.assert_array_equal(obs[..., 0] > 0, walls[row : row + 5, column : column + 5])
    at_exit = np.argwhere(obs[..., 1]).tolist()
    near = max(abs(5 - row), abs(5 - column)) <= 2
    assert at_exit == ([[5 - row + 2, 5 - column + 2]] if near else [])
    np.testing.assert_allclose(obs[..., 2], 42 / 49, rtol=1e-6)


def test_the_other_kinds_pass_the_check():
    for env in (RobotMaze(7, view="local"), RobotMaze(7, maze_seed=3)):
        check_env(env)


def test_one_maze_for_all_episodes_or_a_new_one_for_each():
    one, other = (mazes_of(RobotMaze(7, maze_seed=seed), 8) for seed in (3, 4))
    assert len(np.unique(one, axis=0)) == 1 and not np.array_equal(one, other)
    assert len(np.unique(mazes_of(ENV, 8), axis=0)) > 5


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (dict(size=8), "size=8: rooms and walls alternate.*type size=9"),
        (dict(size=3), "size=3: needed is a whole number from 5 to 101"),
        (dict(size=103), "size=103: needed"),
        (dict(size=7.5), r"size=7\.5: needed"),
        (dict(view="map"), "view='map': needed is 'full' or 'local'"),
        (dict(view="local", radius=0), "radius=0: needed is a whole number of at least 1"),
        (dict(maze_seed=1.5), r"maze_seed=1\.5: needed"),
        (dict(maze_seed=2**32), "maze_seed=4294967296: needed"),
    ],
)
def test_mazes_that_cannot_be(arguments, said):
    with pytest.raises(ValueError, match=said):
        RobotMaze(**arguments)


def test_the_picture_shows_walls_robot_exit_and_battery():
    _, state = ENV.reset(KEY, PARAMS)
    render = jax.jit(lambda s: ENV.render(s, PARAMS, height=70, width=110))
    frame = np.asarray(render(state)).astype(int)

    def color(row, column):
        return frame[row * 10 + 5, 20 + column * 10 + 5]

    assert color(1, 1).argmax() == 2 and color(5, 5).argmax() == 1
    for row, column in np.argwhere(np.asarray(state.walls)[1:]):
        assert color(row + 1, column).tolist() == [60, 60, 70]
    assert (frame[:, :20] == [60, 60, 70]).all()

    def bar(state):
        row = np.asarray(render(state))[5].astype(int)
        return int((row[:, 0] > 200).sum())

    assert bar(state) == 50 and bar(state.replace(time=jnp.int32(49))) == 0
    assert 20 < bar(state.replace(time=jnp.int32(25))) < 30
