"""Settings are checked for their kind and their range, before anything is built."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrl.algorithms.ppo import PPOConfig
from jaxrl.config import validate
from jaxrl.errors import ConfigError, UnknownNameError


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (dict(gamma="a"), "gamma='a' is of the wrong kind: needed is a number"),
        (dict(num_envs=8.0), "num_envs=8.0 is of the wrong kind: needed is a whole number"),
        (dict(num_envs=None), "num_envs=None"),
        (dict(num_envs=True), "num_envs=True"),
        (dict(learning_rate=None), "learning_rate=None"),
        (dict(target_kl="x"), "needed is a number or None"),
        (dict(normalize_obs="yes"), "True or False"),
        (dict(hidden_sizes=64), "a tuple, each of it a whole number"),
        (dict(hidden_sizes=(64.5,)), "hidden_sizes"),
        (dict(ent_coef_decay=3), "one of linear, cosine, exponential"),
        (dict(learning_rate=jnp.ones(3)), "learning_rate"),
        (dict(gamma=1.5), r"gamma=1\.5 is out of range"),
        (dict(gamma=float("nan")), "gamma=nan"),
    ],
)
def test_wrong_settings_are_named(settings, words):
    with pytest.raises(ConfigError, match=words):
        validate(PPOConfig(**settings))


def test_a_name_that_is_not_taken_is_refused_with_the_nearest():
    with pytest.raises(UnknownNameError, match="ent_coef_decay 'lin': did you mean 'linear'"):
        validate(PPOConfig(ent_coef_decay="lin"))


def test_numbers_of_any_make_pass():
    validate(PPOConfig())
    validate(PPOConfig(gamma=1, num_envs=np.int64(3), learning_rate=np.float32(1), target_kl=0.1))
    validate(PPOConfig(learning_rate=jnp.float32(0.1), hidden_sizes=()))


def test_traced_numbers_pass():
    def build(rate):
        validate(PPOConfig(learning_rate=rate))
        return rate

    jax.jit(build)(0.1)
