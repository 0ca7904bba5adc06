"""Set-up of every test: a CPU, compiled programs kept between runs, no display."""

import os
from importlib.metadata import version
from pathlib import Path

# By the environment, so that the commands and notebooks that tests start inherit it.
os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault(
    "JAX_COMPILATION_CACHE_DIR", str(Path(__file__).parent.parent / ".cache" / "jax")
)
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.1")
os.environ.setdefault("MPLBACKEND", "Agg")
os.environ.setdefault("SDL_VIDEODRIVER", "dummy")

import hypothesis
import pytest


def pytest_configure(config):
    """Cuts what the fast tests cost: most of it is compiling programs that run for a moment.

    Slow tests, and with them those marked `exact`, keep the compiler's optimisations: they test
    what users run.
    """
    if config.option.markexpr != "not slow":
        return
    os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")
    # Without these emitters compiling takes 40 % of its time. XLA ends the process at a flag that
    # it does not know, and later versions do not know this one.
    if version("jaxlib").startswith("0.10."):
        flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_cpu_use_fusion_emitters=false"
        os.environ["XLA_FLAGS"] = flags.strip()


# A first example compiles, which no deadline allows for; the same examples at every run.
hypothesis.settings.register_profile("jaxrl", deadline=None, derandomize=True)
hypothesis.settings.load_profile("jaxrl")


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
