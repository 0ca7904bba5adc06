"""Seeds shared out among devices: the same runs, evaluated, stored and resumed as on one."""

import os
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

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
