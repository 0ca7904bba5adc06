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
from jaxrl.algorithms.trpo import TRPOConfig
from jaxrl.devices import mesh_of, over_seeds

ROOT = Path(__file__).parent.parent


def test_one_device_makes_no_mesh():
    assert jax.local_device_count() == 1
    assert mesh_of(8) is None


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

    cores = len(os.sched_getaffinity(0))
    assert counted("small") == [1, 1]
    # A device to a core, to share the minibatches; threads beside these would fight over the cores.
    assert counted("large") == [cores, cores]


def test_products_are_measured_by_the_batch_of_a_gradient_step():
    assert devices._has_small_products(PPOConfig(num_envs=16))
    assert not devices._has_small_products(PPOConfig(num_envs=32))
    assert devices._has_small_products(DQNConfig())
    assert not devices._has_small_products(DQNConfig(hidden_sizes=(512, 512)))
    assert not devices._has_small_products(None)


def test_what_shares_its_minibatches():
    assert devices._shares_rows(PPOConfig(num_envs=64))
    assert not devices._shares_rows(PPOConfig(num_envs=32))  # too small to be worth it
    assert not devices._shares_rows(DQNConfig(hidden_sizes=(512, 512)))  # has none
    assert not devices._shares_rows(TRPOConfig(num_envs=2048))  # few of its products are theirs
    assert not devices._shares_rows(None)
    assert devices.row_shares() == 1


SHARED_ROWS = """
import jax, jax.numpy as jnp, numpy as np
jax.config.update("jax_num_cpu_devices", 2)
import jaxrl
from jaxrl import devices, minibatch
from jaxrl.algorithms.ppo import PPOConfig
from jaxrl.algorithms.trpo import TRPOConfig
from test_minibatch import a_batch, loss_fn

large = PPOConfig(num_envs=64)
mesh = devices.mesh_of(1, large)
assert mesh.axis_names == (devices.ROWS,) and mesh.size == 2
assert devices.mesh_of(2, large).axis_names == (devices.AXIS,)
assert devices.mesh_of(1, PPOConfig(num_envs=4)) is None

params, batch, weighted = a_batch()
for batch in (batch, weighted):
    for cached in (18, minibatch.CACHED):  # two parts a device, and one
        minibatch.CACHED = cached
        def gradient(params, batch):
            assert devices.row_shares() == 2
            return minibatch.mean_gradient(loss_fn, params, batch, 2.0)
        lone = lambda x: jax.tree.map(lambda x: x[None], x)
        shared = jax.jit(lambda *a: devices.over_seeds(gradient, *map(lone, a), mesh=mesh))
        assert "all-gather" in shared.lower(params, batch).compile().as_text()
        whole = lone(jax.grad(loss_fn, has_aux=True)(params, batch, 2.0))
        close = lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7)
        jax.tree.map(close, shared(params, batch), whole)

obs = jax.random.normal(jax.random.key(0), (6, 5, 3))
value = lambda obs: jnp.tanh(obs @ jnp.ones(3))
minibatch.CACHED = 2**18
for steps in (6, 5):  # five are not to be shared by two
    each = lambda obs: minibatch.by_steps(value, {"w": jnp.ones((3, 3))}, obs)
    ours = jax.jit(lambda obs: devices.over_seeds(each, obs[None], mesh=mesh))(obs[:steps])
    np.testing.assert_allclose(ours[0], value(obs[:steps]), rtol=1e-6)
"""


def test_devices_share_the_rows_of_a_gradient():
    paths = os.pathsep.join(str(ROOT / part) for part in (".", "envs", "tests"))
    done = subprocess.run(
        [sys.executable, "-c", SHARED_ROWS],
        env=os.environ | {"PYTHONPATH": paths},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]


SCRIPT = """
import sys
import jax, numpy as np
import jaxrl
import jaxrl.devices

jax.config.update("jax_num_cpu_devices", int(sys.argv[1]))
folder, name, seeds = sys.argv[2], sys.argv[3], int(sys.argv[5])
jaxrl.devices.SHARED_PRODUCT = 1  # one seed's minibatches are shared out, whatever their size
env, params = jaxrl.make("CartPole-v1")
small = dict(num_envs=2, hidden_sizes=(8,))
algorithm = {
    "ppo": lambda: jaxrl.ppo(env, jaxrl.PPOConfig(num_steps=16, **small)),
    "pqn": lambda: jaxrl.pqn(env, jaxrl.PQNConfig(num_steps=16, num_minibatches=2, **small)),
    "grpo": lambda: jaxrl.grpo(env, jaxrl.GRPOConfig(hidden_sizes=(8,), max_episode_steps=40)),
    "dqn": lambda: jaxrl.dqn(
        env,
        jaxrl.DQNConfig(
            buffer_size=256, learning_starts=32, batch_size=16, replay_ratio=0.5, **small
        ),
    ),
}[name]()
settings = dict(total_steps=512, seeds=seeds, eval_episodes=4, max_episode_steps=50)
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


def run(devices, folder, name, used, seeds=6):
    paths = os.pathsep.join(str(ROOT / part) for part in (".", "envs"))
    command = [sys.executable, "-c", SCRIPT, str(devices), str(folder), name, str(used), str(seeds)]
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


@pytest.mark.slow
@pytest.mark.parametrize("name", ["ppo", "pqn"])
def test_a_seed_on_several_devices_is_the_one_on_one(tmp_path, name):
    one = run(1, tmp_path / "one", name, 1, seeds=1)
    two = run(2, tmp_path / "two", name, 2, seeds=1)
    for a, b in zip(one, two, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4)
