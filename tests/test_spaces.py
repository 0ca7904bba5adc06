"""Reading spaces by structure: ours and gymnax's alike, others refused."""

import numpy as np
import pytest

import jaxrl_envs
from jaxrl import spaces
from jaxrl.errors import SpaceError

gymnax_spaces = pytest.importorskip("gymnax").environments.spaces
BOTH = pytest.mark.parametrize("kind", [jaxrl_envs, gymnax_spaces], ids=["ours", "gymnax"])


class Tree:
    """A Dict or Tuple space, by structure."""

    spaces = ()

    def __repr__(self):
        return "Tree(...)"


@BOTH
def test_discrete(kind):
    space = kind.Discrete(4)
    assert spaces.is_discrete(space) and not spaces.is_box(space)
    assert spaces.num_actions(space) == 4
    assert spaces.describe(space) == "Discrete(4)"


@BOTH
def test_box(kind):
    space = kind.Box(-2.0, np.array([1.0, 3.0]), (2,))
    assert spaces.is_box(space) and not spaces.is_discrete(space)
    assert spaces.action_size(space) == 2
    low, high = spaces.bounds(space)
    assert low.tolist() == [-2, -2] and high.tolist() == [1, 3]
    assert spaces.observation_shape(space) == (2,)
    assert spaces.describe(space) == "Box(2,)"


def test_multi_discrete_is_not_discrete():
    class MultiDiscrete:
        n = np.array([2, 3])
        shape = (2,)

    assert not spaces.is_discrete(MultiDiscrete())


@pytest.mark.parametrize(
    ("reader", "space", "said"),
    [
        (spaces.num_actions, jaxrl_envs.Box(-1, 1, (2,)), r"Discrete.*needed.*Box\("),
        (spaces.num_actions, Tree(), r"Tree\("),
        (spaces.action_size, jaxrl_envs.Box(-1, 1, (2, 2)), r"one axis.*shape \(2, 2\).*flatten"),
        (spaces.action_size, jaxrl_envs.Discrete(3), r"Discrete\(3\)"),
        (spaces.action_size, Tree(), r"Tree\("),
        (spaces.observation_shape, Tree(), r"one array.*Tree\(.*join its parts"),
    ],
)
def test_a_space_that_cannot_be_taken_is_refused(reader, space, said):
    with pytest.raises(SpaceError, match=said):
        reader(space)
