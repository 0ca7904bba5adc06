"""Checkpoints: bit for bit, whole after a kill, and clear about what does not fit."""

import os
import subprocess
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import struct

from jaxrl.errors import RunFolderError
from jaxrl.normalise import RunningStats
from jaxrl.run.checkpoint import Checkpointer, load_policy, save_policy
from jaxrl.types import PolicyState


@struct.dataclass
class State:
    weights: jax.Array
    key: jax.Array
    name: str = struct.field(pytree_node=False, default="static")


def tree(fill=1.0):
    return {
        "train": State(jnp.full((3, 2), fill), jax.random.split(jax.random.key(7), 3)),
        "reward": (
            jnp.array([True, False]),
            jnp.int32(2**31 - 1),
            jnp.array([jnp.nan, -0.0, jnp.inf, 1e-45], jnp.float32),
            jnp.uint8(255),
            jnp.array([1.5, 3.0], jnp.bfloat16),
            None,
            jnp.zeros((0, 4)),
        ),
    }


def bits(leaf):
    is_key = jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
    return np.asarray(jax.random.key_data(leaf) if is_key else leaf).tobytes()


def assert_same_bits(a, b):
    assert jax.tree.structure(a) == jax.tree.structure(b)
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        assert (x.dtype, x.shape, bits(x)) == (y.dtype, y.shape, bits(y))


@pytest.mark.parametrize("abstract", [False, True])
def test_restores_every_bit(tmp_path, abstract):
    saved = tree()
    Checkpointer(tmp_path).save(5, saved)
    like = jax.eval_shape(tree) if abstract else tree(0.0)
    restored = Checkpointer(tmp_path).restore(like)
    assert_same_bits(saved, restored)
    # A key that came back can be drawn from, and draws the same.
    draw = jax.vmap(lambda key: jax.random.normal(key, (2,)))
    np.testing.assert_array_equal(draw(saved["train"].key), draw(restored["train"].key))


def test_restores_keys_of_another_kind(tmp_path):
    saved = {"key": jax.random.key(1, impl="rbg")}
    Checkpointer(tmp_path).save(1, saved)
    assert_same_bits(saved, Checkpointer(tmp_path).restore(saved))


def test_is_a_copy(tmp_path):
    # `train` gives the state's memory to the next chunk as soon as `save` returns.
    checkpointer, state = Checkpointer(tmp_path), {"x": jnp.arange(4.0)}
    checkpointer.save(1, state)
    jax.jit(lambda s: {"x": s["x"] * 0 - 1}, donate_argnums=0)(state)
    restored = checkpointer.restore({"x": jnp.zeros(4)})
    np.testing.assert_array_equal(restored["x"], np.arange(4.0))


def test_keeps_the_last_and_the_best(tmp_path):
    checkpointer = Checkpointer(tmp_path, keep_last=2)
    for update, metric in enumerate([1.0, 9.0, np.nan, None, 3.0, 8.9]):
        checkpointer.save(update, {"x": jnp.float32(update)}, metric=metric)
    assert (checkpointer.updates(), checkpointer.latest(), checkpointer.best()) == ([1, 4, 5], 5, 1)
    assert checkpointer.restore({"x": jnp.float32(0)}, 1)["x"] == 1
    checkpointer.save(6, {"x": jnp.float32(6)}, metric=9.5)
    assert (checkpointer.updates(), checkpointer.best()) == ([5, 6], 6)


def test_partial_restores_what_is_asked_for(tmp_path):
    checkpointer = Checkpointer(tmp_path)
    checkpointer.save(1, tree())
    restored = checkpointer.restore({"train": tree()["train"]}, partial=True)
    assert_same_bits(restored, {"train": tree()["train"]})


@pytest.mark.parametrize(
    ("like", "words"),
    [
        ({"a": jnp.zeros(3), "b": jnp.zeros(4)}, ["b", "float32[3]", "float32[4]"]),
        ({"a": jnp.zeros(3), "b": jnp.zeros(3, jnp.int32)}, ["b", "float32[3]", "int32[3]"]),
        ({"a": jnp.zeros(3)}, ["b", "float32[3]", "nothing"]),
        ({"a": jnp.zeros(3), "b": jnp.zeros(3), "c": jnp.zeros(1)}, ["c", "nothing"]),
    ],
)
def test_names_the_first_leaf_that_differs(tmp_path, like, words):
    checkpointer = Checkpointer(tmp_path)
    checkpointer.save(1, {"a": jnp.zeros(3), "b": jnp.zeros(3)})
    with pytest.raises(RunFolderError) as error:
        checkpointer.restore(like)
    assert all(word in str(error.value) for word in words)


def test_nothing_to_restore(tmp_path):
    checkpointer = Checkpointer(tmp_path / "checkpoints")
    assert checkpointer.latest() is None and checkpointer.best() is None
    with pytest.raises(RunFolderError, match="no checkpoint"):
        checkpointer.restore({"x": jnp.zeros(1)})


SAVE_LOOP = """
import itertools, sys
import numpy as np
from jaxrl.run.checkpoint import Checkpointer
checkpointer = Checkpointer(sys.argv[1])
for n in itertools.count(1):
    checkpointer.save(n, {f"x{i}": np.full(500, n, np.float32) for i in range(8)}, metric=n % 4)
    print(n, flush=True)
"""


def test_whole_after_a_kill_at_any_moment(tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-c", SAVE_LOOP, str(tmp_path)],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"JAX_PLATFORMS": "cpu"},
    )
    assert process.stdout is not None
    with process:
        told = 0
        while told < 2:
            told = int(process.stdout.readline())
        # The moment is not chosen: anywhere within the next saves.
        time.sleep(0.2 * np.random.default_rng().random())
        process.kill()
        told = max([told, *(int(line) for line in process.stdout.read().split())])
    checkpointer = Checkpointer(tmp_path)
    latest = checkpointer.latest()
    assert latest is not None and latest >= told  # what was said to be saved is there
    like = {f"x{i}": np.zeros(500, np.float32) for i in range(8)}
    for update in {latest, checkpointer.best()}:
        restored = checkpointer.restore(like, update)
        assert all((np.asarray(x) == update).all() for x in restored.values())


def test_what_a_killed_save_left_is_cleared_away(tmp_path):
    checkpointer = Checkpointer(tmp_path)
    checkpointer.save(1, {"x": jnp.zeros(2)})
    half = tmp_path / "2.orbax-checkpoint-tmp"
    half.mkdir()
    (half / "part").write_text("half")
    assert checkpointer.latest() == 1
    checkpointer.save(3, {"x": jnp.ones(2)})
    assert not half.exists()
    assert checkpointer.updates() == [1, 3]


def policy():
    stats = RunningStats(jnp.arange(4.0), jnp.ones(4), jnp.float32(17))
    return PolicyState({"actor": {"Dense_0": {"kernel": jnp.eye(4)}}}, stats)


def test_policy_of_one_seed_comes_back(tmp_path):
    save_policy(tmp_path, policy())
    assert_same_bits(load_policy(tmp_path, jax.eval_shape(policy)), policy())


def test_policy_of_transposed_memory_comes_back(tmp_path):
    kernel = np.arange(6, dtype=np.float32).reshape(2, 3).T
    save_policy(tmp_path, PolicyState({"kernel": kernel}, None))
    loaded = load_policy(tmp_path, PolicyState({"kernel": jnp.zeros((3, 2))}, None))
    np.testing.assert_array_equal(loaded.params["kernel"], kernel)


def test_policy_that_does_not_fit_or_is_not_there(tmp_path):
    with pytest.raises(RunFolderError, match="does not exist"):
        load_policy(tmp_path, policy())
    save_policy(tmp_path, policy())
    with pytest.raises(RunFolderError, match="obs_stats"):
        load_policy(tmp_path, policy()._replace(obs_stats=None))
