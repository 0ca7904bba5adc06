"""`make`: which environment a name gets, with which parameters, and what it says of wrong ones."""

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import probes
import pytest

import jaxrl_envs
from jaxrl import environment
from jaxrl.environment import env_name, gymnax_names, make, max_episode_steps, register, registered
from jaxrl.errors import (
    ConfigError,
    EnvironmentContractError,
    JaxrlError,
    MissingExtraError,
    UnknownNameError,
)

DOWNLOADS = {"MNISTBandit-bsuite"}
GYMNAX = sorted(set(gymnax_names()) - DOWNLOADS)


@pytest.fixture
def registry(monkeypatch):
    """An empty table of what was registered by hand."""
    monkeypatch.setattr(environment, "_registered", {})


class Maze(probes.ConstantReward):
    """An environment whose factory has an argument that is not a parameter."""

    def __init__(self, size, *, walls=2):
        super().__init__()
        self.size, self.walls = size, walls


def test_a_plain_name_is_ours_and_the_prefix_is_gymnaxs():
    ours, theirs = make("CartPole-v1")[0], make("gymnax:CartPole-v1")[0]
    assert isinstance(ours, jaxrl_envs.CartPole)
    assert type(theirs).__module__.startswith("gymnax.")
    assert (env_name(ours), env_name(theirs)) == ("CartPole-v1", "gymnax:CartPole-v1")


@pytest.mark.parametrize("name", GYMNAX)
def test_gymnaxs_environments_pass_the_check_and_take_back_their_own_parameters(name):
    env, params = make(f"gymnax:{name}")
    limit = max_episode_steps(env, params)
    assert limit is None or limit > 0
    # What a run folder writes down is what `make` is given when the run is opened.
    written = json.loads(json.dumps({k: np.asarray(v).tolist() for k, v in vars(params).items()}))
    _, again = make(f"gymnax:{name}", **written)
    jax.tree.map(np.testing.assert_array_equal, params, again)


@pytest.mark.parametrize("name", ["Catch-bsuite", "FourRooms-misc"])
def test_a_type_that_gymnax_declares_wrongly_is_corrected(name):
    env, params = make(name)
    obs, _ = env.reset_env(jax.random.key(0), params)
    assert jnp.dtype(env.observation_space(params).dtype) == obs.dtype


def test_the_name_is_kept_through_a_wrapper_and_otherwise_is_the_environments():
    from gymnax.wrappers.purerl import LogWrapper

    assert env_name(LogWrapper(make("gymnax:Pendulum-v1")[0])) == "gymnax:Pendulum-v1"
    assert env_name(jaxrl_envs.CartPole()) == "CartPole-v1"


def test_a_frozen_environment_can_be_named(registry):
    @dataclasses.dataclass(frozen=True)
    class Frozen(probes.ConstantReward):
        width: int = 3

    register("frozen", Frozen)
    assert env_name(make("frozen")[0]) == "frozen"


def test_what_is_registered_comes_first(registry):
    register("CartPole-v1", probes.ConstantReward)
    assert isinstance(make("CartPole-v1")[0], probes.ConstantReward)
    assert registered()["CartPole-v1"] is probes.ConstantReward


def test_a_registered_environment_is_checked(registry):
    class NoReset(probes.ConstantReward):
        reset_env = None

    register("broken", NoReset)
    with pytest.raises(EnvironmentContractError, match="NoReset has no method reset_env"):
        make("broken")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("cartpole", "did you mean 'CartPole-v1'"),
        ("Acrobat-v1", "did you mean 'Acrobot-v1'"),
        ("gymnax:Acrobat-v1", "Acrobot-v1"),
        ("zzz", "known: Acrobot-v1, .*jaxrl envs"),
    ],
)
def test_an_unknown_name_gets_the_nearest(name, said):
    with pytest.raises(UnknownNameError, match=f"unknown environment '{name}'.*{said}"):
        make(name)


def test_settings_change_parameters_and_keep_their_types():
    env, params = make("CartPole-v1", max_steps_in_episode=200.0, gravity=20)
    assert (params.max_steps_in_episode, params.gravity) == (200, 20)
    assert type(params.max_steps_in_episode) is int
    assert params.tau == env.default_params.tau
    assert max_episode_steps(env, params) == 200


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"max_steps_in_episode": "200"}, "='200' of CartPole-v1: needed is a whole number"),
        ({"max_steps_in_episode": 2.5}, "whole number, such as 500"),
        ({"max_steps_in_episode": float("inf")}, "whole number"),
        ({"max_steps_in_episode": 0}, "needed is at least 1"),
        ({"gravity": [9.8, 9.9]}, "needed is a number, such as 9.8"),
    ],
)
def test_a_setting_of_the_wrong_kind_is_refused(settings, said):
    with pytest.raises(ConfigError, match=said):
        make("CartPole-v1", **settings)


def test_a_parameter_that_is_an_array_keeps_type_and_shape(registry):
    @jax.tree_util.register_dataclass
    @dataclasses.dataclass
    class WindParams:
        wind: jax.Array = dataclasses.field(default_factory=lambda: jnp.zeros(2))
        max_steps_in_episode: int = 5

    class Windy(probes.ConstantReward):
        default_params = property(lambda self: WindParams())

    register("windy", Windy)
    wind = make("windy", wind=[1, 2])[1].wind
    assert wind.dtype == jnp.float32 and wind.tolist() == [1, 2]
    with pytest.raises(ConfigError, match=r"shape \(3,\), needed is \(2,\)"):
        make("windy", wind=[1, 2, 3])


@pytest.mark.parametrize(
    ("name", "setting", "said"),
    [
        ("CartPole-v1", "max_steps", "did you mean 'max_steps_in_episode'"),
        ("DeepSea-bsuite", "sizes", "did you mean 'size'"),
    ],
)
def test_an_unknown_setting_gets_the_nearest(name, setting, said):
    with pytest.raises(UnknownNameError, match=f"setting of {name} '{setting}'.*{said}"):
        make(name, **{setting: 3})


def test_arguments_reach_the_factory(registry):
    register("Maze", Maze)
    env, params = make("Maze", size=7, walls=3, max_steps_in_episode=4)
    assert (env.size, env.walls, params.max_steps_in_episode) == (7, 3, 4)
    with pytest.raises(ConfigError, match=r"Maze needs size: type make\('Maze', size="):
        make("Maze", walls=3)
    env, params = make("DeepSea-bsuite", size=5)
    assert env.observation_space(params).shape == (5, 5)


def test_an_environment_that_wants_for_a_file_says_so(registry):
    def factory():
        raise FileNotFoundError("tracks.npz")

    register("Track", factory)
    with pytest.raises(JaxrlError, match=r"Track could not be made.*tracks\.npz"):
        make("Track")


def test_an_old_or_missing_gymnax_is_told_what_to_install(monkeypatch):
    monkeypatch.setattr("importlib.metadata.version", lambda package: "0.0.9")
    with pytest.raises(EnvironmentContractError, match=r"gymnax 0\.0\.9.*pip install 'gymnax>=1"):
        make("gymnax:CartPole-v1")
    monkeypatch.setitem(__import__("sys").modules, "gymnax", None)
    with pytest.raises(MissingExtraError, match="not installed: pip install 'gymnax>=1"):
        make("gymnax:CartPole-v1")


def test_a_factory_that_refuses_its_arguments_is_a_mistake_in_the_configuration():
    with pytest.raises(ConfigError, match=r"RobotMaze-v0: size=8: .* type size=9"):
        make("RobotMaze-v0", size=8)


def test_what_is_supported_is_found_by_structure():
    ours, theirs = jaxrl_envs.CartPole(), make("Catch-bsuite")[0]
    assert environment.supports_render(ours) and environment.supports_describe(ours)
    assert not environment.supports_render(theirs) and not environment.supports_describe(theirs)
    assert max_episode_steps(ours, object()) is None


def test_a_render_of_another_kind_is_none_of_ours():
    env = make("PointRobot-misc")[0]  # has one that draws with matplotlib, on the host
    assert callable(env.render) and not environment.supports_render(env)


def test_gymnaxs_environments_are_drawn_where_their_structure_is_known():
    known, board = make("gymnax:CartPole-v1")[0], make("Freeway-MinAtar")[0]
    assert environment.supports_render(known) and environment.supports_describe(known)
    assert environment.supports_render(board) and not environment.supports_describe(board)
    assert set(known.quantities) == set(jaxrl_envs.CartPole.quantities)
