"""The seed axis over four devices: one call an update with the frames of all, the same numbers."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent

SCRIPT = """
import jax, jax.numpy as jnp, numpy as np
from jax.sharding import AxisType, NamedSharding, PartitionSpec
from rewards.standins import Number, Question, asker
from rewards.toy import Shades, adder
from jaxrl import rewards
from jaxrl.update import initial_carry, make_update, run_updates

assert len(jax.devices()) == 4
env, algorithm = Shades(), adder(Shades())
keys = jnp.stack([jax.random.key(i) for i in range(4)])

def train(sharded):
    asks = asker()
    judged = rewards.vlm(env, asks, Question(), Number(), size=(8, 12))
    source = rewards.mixture(rewards.environment(), judged, 0.15)
    carry = jax.jit(lambda k: initial_carry(algorithm, source, k, env.default_params, 4))(keys)
    if sharded:
        mesh = jax.make_mesh((4,), ("seed",), axis_types=(AxisType.Auto,))
        split = NamedSharding(mesh, PartitionSpec("seed"))
        carry = carry._replace(train=jax.device_put(carry.train, split))
    update = make_update(algorithm, source)
    done, _ = jax.jit(lambda c: run_updates(update, c, 4))(carry)
    if sharded:
        assert len(done.train.params["sum"].sharding.device_set) == 4
    return np.asarray(done.train.params["sum"]), asks.client.batches

sums, batches = train(True)
plain_sums, plain_batches = train(False)
np.testing.assert_allclose(sums, plain_sums, rtol=1e-6)
assert batches == plain_batches and len(batches) <= 4, (batches, plain_batches)
print("batches", batches)
"""


@pytest.mark.slow  # a process of its own, which has four devices
def test_one_call_an_update_under_a_mesh():
    paths = os.pathsep.join(str(ROOT / part) for part in (".", "envs", "tests"))
    env = os.environ | {
        "XLA_FLAGS": "--xla_force_host_platform_device_count=4",
        "PYTHONPATH": paths,
    }
    run = subprocess.run([sys.executable, "-c", SCRIPT], env=env, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr[-3000:]
    assert run.stdout.startswith("batches [")
