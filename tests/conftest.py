"""Set-up of every test: a CPU, compiled programs kept between runs, no display."""

import os
from pathlib import Path

os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("MPLBACKEND", "Agg")
os.environ.setdefault("SDL_VIDEODRIVER", "dummy")

import jax
import pytest

CACHE = Path(__file__).parent.parent / ".cache" / "jax"
jax.config.update("jax_compilation_cache_dir", str(CACHE))
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)


@pytest.fixture(scope="session")
def cartpole():
    """`(env, params)` of CartPole-v1."""
    from jaxrl.environment import make

    return make("CartPole-v1")


@pytest.fixture(scope="session")
def small_ppo(cartpole):
    """PPO on CartPole at a size that compiles and runs quickly."""
    from jaxrl.algorithms.ppo import PPOConfig, ppo

    return ppo(cartpole[0], PPOConfig(num_envs=4, num_steps=16, hidden_sizes=(16,)))
