"""The host's loop: chunks, evaluation, resume, early stop, divergence, sweeps."""

import json
import os
import signal
import subprocess
import sys
import time

import jax
import numpy as np
import pytest

import jaxrl
from jaxrl import training
from jaxrl.algorithms.ppo import PPOConfig, ppo
from jaxrl.environment import make
from jaxrl.errors import (
    ConfigError,
    DivergedError,
    EnvironmentContractError,
    RunFolderError,
    UnknownNameError,
)
from jaxrl.evaluation import evaluation_key
from jaxrl.programs import compile_whole
from jaxrl.run.folder import read_run
from jaxrl.run.machine import peak_memory_bytes
from jaxrl.sweeping import sweep
from jaxrl.training import train
from jaxrl_envs import EnvParams

STEPS = 20 * 64  # twenty updates of small_ppo
QUICK = dict(total_steps=STEPS, eval_episodes=4, log_every=64 * 5, eval_every=64 * 10)


def bits(tree):
    is_key = lambda x: jax.dtypes.issubdtype(x.dtype, jax.dtypes.prng_key)  # noqa: E731
    return [np.asarray(jax.random.key_data(x) if is_key(x) else x) for x in jax.tree.leaves(tree)]


class StopAt:
    """A callback that stops a run at an update, or raises there."""

    def __init__(self, update, error=None):
        self.update, self.error, self.points = update, error, []

    def on_start(self, info):
        self.info = info

    def on_log(self, point):
        self.points.append(point)
        return point.update >= self.update and self.error is None

    def on_checkpoint(self, update, state, point):
        if self.error is not None and update >= self.update:
            raise self.error

    def on_end(self, result):
        self.result = result


@pytest.fixture(scope="module", autouse=True)
def compiled_once():
    """Runs of one algorithm share their programs: most of a short run is compiling."""
    kept = {}

    def compiler(algorithm, reward, plan, lanes, env_params):
        key = (id(algorithm), reward.name, plan.total_updates, plan.eval_episodes, len(lanes))
        if key not in kept:
            programs = compile_whole(algorithm, reward, plan, lanes, env_params)
            kept[key] = programs, algorithm  # kept, so that nothing else gets its id
        return kept[key][0]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "compile_whole", compiler)
        yield


@pytest.fixture(scope="module")
def whole(small_ppo):
    return train(small_ppo, seeds=2, **QUICK)


def test_what_a_run_returns(whole):
    assert [p.update for p in whole.history] == [2, 4, 5, 6, 8, 10, 12, 14, 15, 16, 18, 20]
    evaluated = [p.update for p in whole.history if p.evaluation is not None]
    assert evaluated == [10, 20]
    assert whole.history[-1].step == whole.info.total_steps == STEPS
    assert whole.final.returns.shape == (2, 4) and whole.final.greedy
    assert whole.steps_per_second > 0 and whole.compile_seconds > 0
    assert not whole.stopped_early and whole.peak_memory_bytes > 10**7
    names = {frozenset(p.metrics) for p in whole.history}
    assert len(names) == 1  # a key never appears or disappears


@pytest.mark.exact
def test_resumed_run_is_the_whole_run_bit_for_bit(small_ppo, whole, tmp_path):
    """20 updates = 10 + save + load + 10."""
    folder = tmp_path / "run"
    with pytest.raises(KeyError):
        train(small_ppo, seeds=2, out=folder, callbacks=[StopAt(10, KeyError("cut"))], **QUICK)
    assert (folder / "checkpoints" / "10").is_dir() and not (folder / "result.json").exists()
    before = read_run(folder).history[-1].timing["time/train_seconds"]
    resumed = train(small_ppo, seeds=2, resume=folder, **QUICK)
    assert resumed.train_seconds > before  # the first leg counts
    for a, b in zip(bits(whole.state), bits(resumed.state), strict=True):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(whole.final.returns, resumed.final.returns)
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    updates = [json.loads(line)["update"] for line in lines]
    assert updates == [p.update for p in whole.history]
    assert read_run(folder).result["eval_return"]["episodes"] == 4


@pytest.mark.exact
def test_a_run_whose_starts_are_drawn_by_need_resumes_bit_for_bit(tmp_path):
    env, params = make("MountainCar-v0", max_steps_in_episode=6)  # four lanes, all end at once
    algorithm = ppo(env, PPOConfig(num_envs=4, num_steps=16, hidden_sizes=(8,)))
    settings = dict(env_params=params, seeds=2, **QUICK)
    whole = train(algorithm, out=tmp_path / "whole", **settings)
    cut = StopAt(10, KeyError("cut"))
    with pytest.raises(KeyError):
        train(algorithm, out=tmp_path / "cut", callbacks=[cut], **settings)
    resumed = train(algorithm, resume=tmp_path / "cut", **settings)
    for a, b in zip(bits(whole.state), bits(resumed.state), strict=True):
        np.testing.assert_array_equal(a, b)


def test_resume_refuses_other_settings_and_finished_runs(small_ppo, cartpole, tmp_path):
    folder = tmp_path / "run"
    with pytest.raises(KeyError):
        train(small_ppo, seeds=2, out=folder, callbacks=[StopAt(10, KeyError("cut"))], **QUICK)
    other = ppo(cartpole[0], small_ppo.config.replace(gamma=0.5))
    with pytest.raises(RunFolderError, match=r"gamma: 0\.99 there, 0\.5 now"):
        train(other, seeds=2, resume=folder, **QUICK)
    with pytest.raises(RunFolderError, match="seeds"):
        train(small_ppo, seeds=3, resume=folder, **QUICK)
    with pytest.raises(RunFolderError, match="holds a run already"):
        train(small_ppo, seeds=2, out=folder, **QUICK)
    train(small_ppo, seeds=2, resume=folder, **QUICK)
    with pytest.raises(RunFolderError, match="run to its end"):
        train(small_ppo, seeds=2, resume=folder, **QUICK)
    with pytest.raises(RunFolderError, match="not a run folder"):
        train(small_ppo, resume=tmp_path, **QUICK)
    # Killed between the last checkpoint and the result: what is left is evaluated.
    before = read_run(folder).result["eval_return"]
    (folder / "result.json").unlink()
    train(small_ppo, seeds=2, resume=folder, **QUICK)
    assert read_run(folder).result["eval_return"] == before


CHILD = """
import jax, sys
jax.config.update("jax_compilation_cache_dir", sys.argv[2])
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)
import jaxrl
env, params = jaxrl.make("CartPole-v1")
algorithm = jaxrl.ppo(env, jaxrl.PPOConfig(num_envs=4, num_steps=16, hidden_sizes=(16,)))
jaxrl.train(algorithm, params, total_steps=10**8, seeds=2, eval_episodes=0,
            log_every=64 * 20, checkpoint_every=64 * 20, out=sys.argv[1])
"""


def test_after_kill_minus_nine_the_run_resumes(small_ppo, tmp_path):
    folder = tmp_path / "run"
    cache = str(jax.config.jax_compilation_cache_dir)
    child = subprocess.Popen([sys.executable, "-c", CHILD, str(folder), cache])
    try:
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            done = list(folder.glob("checkpoints/[0-9]*"))
            if any(p.name.isdigit() and int(p.name) >= 60 for p in done):
                break
            assert child.poll() is None, "the run ended by itself"
            time.sleep(0.05)
    finally:
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
    record = read_run(folder)
    assert record.result is None and record.history  # readable to its last whole line
    stop = StopAt(0)
    settings = dict(eval_episodes=0, log_every=64 * 20, checkpoint_every=64 * 20)
    resumed = train(
        small_ppo, total_steps=10**8, seeds=2, resume=folder, callbacks=[stop], **settings
    )
    assert stop.points[0].update >= 80 and resumed.stopped_early
    updates = [point.update for point in read_run(folder).history]
    assert updates == sorted(set(updates))


def test_a_callback_stops_the_run(small_ppo):
    stop = StopAt(6)
    result = train(small_ppo, seeds=1, callbacks=[stop], **QUICK)
    assert result.stopped_early and result.history[-1].update == 6 and stop.result is result
    # The outcome is that of the parameters as they are, not of the last evaluation before.
    now = jaxrl.evaluate(small_ppo, result.state, num_episodes=4)
    np.testing.assert_array_equal(result.final.returns, now.returns)


def test_evaluation_and_training_of_one_seed_draw_from_different_streams():
    """Neither the keys themselves, nor what is split off them, which may share a beginning."""
    mine, theirs = jax.random.key(0), evaluation_key(0)
    for number in (1, 2, 3):
        a, b = (set(map(tuple, bits(jax.random.split(k, number))[0])) for k in (mine, theirs))
        assert not a & b
    assert not np.array_equal(bits(mine)[0], bits(theirs)[0])


def test_threshold_is_noted_and_stops(small_ppo):
    result = train(small_ppo, seeds=2, threshold=1.0, stop_at_threshold=True, **QUICK)
    assert result.stopped_early and result.steps_to_threshold == (640, 640)
    never = train(small_ppo, seeds=2, threshold=1e9, **QUICK)
    assert never.steps_to_threshold == (None, None)


def test_a_nan_stops_the_run_and_leaves_the_last_finite_checkpoint(cartpole, tmp_path):
    def poisoned(log_ratio, advantage, config):
        # NaN once the policy has moved off the one that collected by more than a little.
        return jax.numpy.where(jax.numpy.abs(log_ratio).max() > 0.02, jax.numpy.nan, log_ratio)

    def surrogate(log_ratio, advantage, config):
        return poisoned(log_ratio, advantage, config) + 0.01 * log_ratio * advantage

    config = PPOConfig(
        num_envs=4, num_steps=16, hidden_sizes=(16,), learning_rate=1e-5, clip_eps=0.2
    )
    # A step size that grows: the first chunks are finite, a later one is not.
    config = config.replace(learning_rate_final=0.05)
    algorithm = ppo(cartpole[0], config, surrogate=surrogate)
    folder = tmp_path / "run"
    with pytest.raises(DivergedError, match=r"seed \d+ at update \d+"):
        train(algorithm, seeds=2, out=folder, checkpoint_every=64, **(QUICK | {"log_every": 64}))
    from jaxrl.run.checkpoint import Checkpointer

    saved = Checkpointer(folder / "checkpoints")
    like = jax.eval_shape(
        jax.vmap(lambda key: algorithm.init(key, cartpole[1], 20)),
        jax.eval_shape(lambda: jax.random.split(jax.random.key(0), 2)),
    )
    state = saved.restore({"train": like}, partial=True)["train"]
    assert saved.latest() >= 1
    assert all(np.isfinite(x).all() for x in jax.tree.leaves(state.params))


@pytest.mark.slow
@pytest.mark.exact
def test_sweep_lanes_are_the_runs_they_stand_for(cartpole, tmp_path):
    env, params = cartpole
    base = PPOConfig(num_envs=4, num_steps=16, hidden_sizes=(16,))
    grid = {"learning_rate": [1e-4, 1e-2], "num_minibatches": [2, 4]}
    results = sweep(lambda c: ppo(env, c), base, grid, params, seeds=2, out=tmp_path, **QUICK)
    assert {p.name for p in tmp_path.iterdir()} == {"num_minibatches=2", "num_minibatches=4"}
    assert [r.info.algorithm.config.num_minibatches for r in results] == [2, 4]
    labels = results[1].info.labels
    assert [label["learning_rate"] for label in labels] == [1e-4, 1e-4, 1e-2, 1e-2]
    alone = train(ppo(env, base.replace(learning_rate=1e-2)), params, seeds=2, **QUICK)
    for a, b in zip(bits(alone.state.params), bits(results[1].state.params), strict=True):
        np.testing.assert_allclose(a, b[2:], rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_make_train_is_train(small_ppo, cartpole, whole):
    run = jaxrl.make_train(small_ppo, STEPS, num_points=4)
    keys = jax.vmap(jax.random.key)(np.arange(2))
    state, curves = jax.jit(jax.vmap(run, (0, None)))(keys, cartpole[1])
    assert curves["episode/return"].shape == (2, 4)
    for a, b in zip(bits(whole.state.params), bits(state.params), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (dict(total_steps=0), "total_steps=0"),
        (dict(seeds=0), "no seeds"),
        (dict(seeds=[1, 1]), "repeats"),
        (dict(seeds=[0, 2**32]), "4294967296"),
        (dict(seeds=[-1]), "-1"),
        (dict(seeds=2.0), "whole number"),
        (dict(max_episode_steps=0), "max_episode_steps=0"),
        (dict(eval_episodes=-1), "eval_episodes"),
        (dict(stop_at_threshold=True), "threshold"),
        (dict(threshold=1.0, eval_episodes=0), "evaluations"),
        (dict(out="a", resume="b"), "two folders"),
    ],
)
def test_bad_settings_are_refused_before_compiling(small_ppo, settings, words):
    with pytest.raises(ConfigError, match=words):
        train(small_ppo, **({"total_steps": 64} | settings))


def test_what_is_no_algorithm_or_has_others_parameters_is_refused(small_ppo, cartpole):
    with pytest.raises(ConfigError, match=r"jaxrl\.ppo\(env\)"):
        train(cartpole[0], total_steps=64)
    with pytest.raises(EnvironmentContractError, match="EnvParams"):
        train(small_ppo, EnvParams(), total_steps=64)
    with pytest.raises(EnvironmentContractError, match=r"env, params = make"):
        ppo(cartpole)


def test_bad_grids_are_refused(cartpole):
    def build(config):
        return ppo(cartpole[0], config)

    with pytest.raises(UnknownNameError, match="learning_rate"):
        sweep(build, PPOConfig(), {"learning_rat": [1.0]}, total_steps=64)
    with pytest.raises(ConfigError, match="gamma"):
        sweep(build, PPOConfig(), {"gamma": [2.0]}, total_steps=64)
    with pytest.raises(ConfigError, match="empty"):
        sweep(build, PPOConfig(), {}, total_steps=64)


def test_peak_memory_is_this_process():
    assert 10**7 < peak_memory_bytes() < 10**11
