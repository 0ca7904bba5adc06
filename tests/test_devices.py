"""Seeds shared out among devices: the same runs, evaluated, stored and resumed as on one."""

import os
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrl import devices
from jaxrl.algorithms.dqn import DQNConfig
from jaxrl.algorithms.ppo import PPOConfig
from jaxrl.devices import over_seeds, seed_mesh

ROOT = Path(__file__).parent.parent


def test_one_device_makes_no_mesh():
    assert jax.local_device_count() == 1
    assert seed_mesh(8) is None


@pytest.mark.parametrize("seeds", [1, 3])
def test_every_seed_is_mapped_over(seeds):
    x = jnp.arange(seeds * 2.0).reshape(seeds, 2)
    got = over_seeds(lambda x, y, scale: x.sum() + scale * y, x, x[:, 0], 10.0, shared=1)
    np.testing.assert_array_equal(got, x.sum(1) + 10 * x[:, 0])


THREADS = """
import glob, sys
import jaxrl

config = {"small": jaxrl.PPOConfig(num_envs=4), "large": jaxrl.PPOConfig(num_envs=2048)}
jaxrl.use_cores(1, config[sys.argv[1]])
import jax, os

jax.block_until_ready(jax.numpy.ones(2) + 1)
assert "NPROC" not in os.environ
names = [open(name).read().strip() for name in glob.glob("/proc/self/task/*/comm")]
print(jax.local_device_count(), names.count("tf_XLAEigen"))
"""


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="asks Linux for the threads")
def test_one_seed_of_small_networks_has_one_thread():
    def counted(size: str) -> list[int]:
        environment = {k: v for k, v in os.environ.items() if k not in ("XLA_FLAGS", "NPROC")}
        ran = subprocess.run(
            [sys.executable, "-c", THREADS, size],
            env=environment | {"PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'envs'}"},
            capture_output=True,
            text=True,
            check=True,
        )
        return [int(x) for x in ran.stdout.split()]

    assert counted("small") == [1, 1]
    devices, threads = counted("large")
    assert devices == 1
    assert threads == len(os.sched_getaffinity(0))


def test_products_are_measured_by_the_batch_of_a_gradient_step():
    assert devices._has_small_products(PPOConfig(num_envs=16))
    assert not devices._has_small_products(PPOConfig(num_envs=32))
    assert devices._has_small_products(DQNConfig())
    assert not devices._has_small_products(DQNConfig(hidden_sizes=(512, 512)))
    assert not devices._has_small_products(None)


ASKED = """
import time
import jax, numpy as np
import jaxrl
from jax.experimental import io_callback
from jaxrl.types import RewardSource

jax.config.update("jax_num_cpu_devices", 2)
env, params = jaxrl.make("CartPole-v1")
calls = []


def answer(reward):
    calls.append(reward.shape)
    time.sleep(4)
    return np.asarray(reward)


def annotate(state, trajectory):
    like = jax.ShapeDtypeStruct(trajectory.reward.shape, trajectory.reward.dtype)
    return state, trajectory._replace(reward=io_callback(answer, like, trajectory.reward)), {}


algorithm = jaxrl.ppo(env, jaxrl.PPOConfig(num_envs=2, num_steps=16, hidden_sizes=(8,)))
source = RewardSource("asked", lambda key: (), annotate, "nothing", on_host=True)
result = jaxrl.train(algorithm, params, total_steps=64, seeds=2, reward=source, eval_episodes=0)
assert calls == 2 * [(2, 16, 2)]
assert len(jax.tree.leaves(result.state.params)[0].sharding.device_set) == 1
"""


@pytest.mark.slow  # a process of its own, that waits
def test_a_slow_answer_does_not_end_a_run_of_several_seeds():
    """XLA ends a process one of whose devices waits longer for the others than this flag says."""
    flags = "--xla_cpu_collective_call_terminate_timeout_seconds=2"
    paths = os.pathsep.join(str(ROOT / part) for part in (".", "envs"))
    done = subprocess.run(
        [sys.executable, "-c", ASKED],
        env=os.environ | {"PYTHONPATH": paths, "XLA_FLAGS": flags},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]


SCRIPT = """
import sys
import jax, numpy as np
import jaxrl

jax.config.update("jax_num_cpu_devices", int(sys.argv[1]))
folder, name = sys.argv[2], sys.argv[3]
env, params = jaxrl.make("CartPole-v1")
small = dict(num_envs=2, hidden_sizes=(8,))
algorithm = {
    "ppo": lambda: jaxrl.ppo(env, jaxrl.PPOConfig(num_steps=16, **small)),
    "grpo": lambda: jaxrl.grpo(env, jaxrl.GRPOConfig(hidden_sizes=(8,), max_episode_steps=40)),
    "dqn": lambda: jaxrl.dqn(
        env,
        jaxrl.DQNConfig(
            buffer_size=256, learning_starts=32, batch_size=16, replay_ratio=0.5, **small
        ),
    ),
}[name]()
settings = dict(total_steps=512, seeds=6, eval_episodes=4, max_episode_steps=50)
whole = jaxrl.train(algorithm, params, **settings)
assert len(jax.tree.leaves(whole.state.params)[0].sharding.device_set) == int(sys.argv[4])


class Killed(Exception):
    pass


class Killer(jaxrl.Callback):
    def on_log(self, point):
        if point.step >= 256:
            raise Killed


try:
    jaxrl.train(algorithm, params, **settings, out=folder, callbacks=[Killer()])
except Killed:
    pass
resumed = jaxrl.train(algorithm, params, **settings, resume=folder)
assert resumed.history[-1].update == whole.history[-1].update
for a, b in zip(jax.tree.leaves(whole.state), jax.tree.leaves(resumed.state), strict=True):
    if not jax.dtypes.issubdtype(a.dtype, jax.dtypes.prng_key):
        np.testing.assert_array_equal(a, b)
np.savez(folder + "/whole.npz", *jax.tree.leaves(whole.state.params), whole.final.per_seed)
"""


def run(devices, folder, name, used):
    paths = os.pathsep.join(str(ROOT / part) for part in (".", "envs"))
    command = [sys.executable, "-c", SCRIPT, str(devices), str(folder), name, str(used)]
    done = subprocess.run(
        command, env=os.environ | {"PYTHONPATH": paths}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return list(np.load(folder / "whole.npz").values())


@pytest.mark.slow  # processes of their own, with devices of their own
@pytest.mark.parametrize("name", ["ppo", "grpo", "dqn"])
def test_runs_on_several_devices_are_those_on_one(tmp_path, name):
    """6 seeds on 4 cores: 3 devices have two each. Short runs: rounding grows with the updates."""
    one = run(1, tmp_path / "one", name, 1)
    three = run(4, tmp_path / "three", name, 3)
    for a, b in zip(one, three, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4)
