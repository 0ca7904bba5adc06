"""Synthetic records, so that nothing here has to train."""

from types import SimpleNamespace

import numpy as np
import pytest
from flax import struct

from jaxrl.records import EvalSummary, LogPoint, RunInfo, TrainResult
from jaxrl.types import PolicyState


@struct.dataclass
class Config:
    learning_rate: float = 3e-4
    max_grad_norm: float = float("inf")
    hidden_sizes: tuple = struct.field(pytree_node=False, default=(16,))


@struct.dataclass
class Params:
    gravity: float = np.float32(9.8)
    max_steps_in_episode: int = 500


@pytest.fixture
def make_info():
    def build(seeds=3, **changes):
        fields = dict(
            env_name="CartPole-v1",
            algorithm=SimpleNamespace(name="ppo", config=changes.pop("config", Config())),
            env_params=Params(),
            reward_name="environment",
            seeds=tuple(range(seeds)),
            total_steps=1000,
            total_updates=10,
            settings={"eval_greedy": True, "threshold": None},
        )
        return RunInfo(**(fields | changes))

    return build


@pytest.fixture
def make_point():
    def build(update, seeds=3, evaluate=True, steps_per_update=100):
        rng = np.random.default_rng(update)
        returns = 20.0 * update + rng.normal(0, 5, (seeds, 4))
        summary = EvalSummary(returns, np.full((seeds, 4), 9), np.ones((seeds, 4), bool), True)
        trained = np.full(seeds, 10.0 * update)
        trained[0] = np.nan if update == 1 else trained[0]
        nothing = np.full(seeds, np.nan)
        return LogPoint(
            step=update * steps_per_update,
            update=update,
            metrics={
                "episode/return": trained,
                "eval/return": summary.per_seed if evaluate else nothing,
            },
            timing={
                "time/steps_per_second": 1000.0,
                "time/train_seconds": float(update),
                "time/compile_seconds": 1.5,
            },
            evaluation=summary if evaluate else None,
        )

    return build


@pytest.fixture
def make_result(make_info, make_point):
    def build(seeds=3, points=10, evaluate=True, **changes):
        history = [make_point(u, seeds, evaluate) for u in range(1, points + 1)]
        params = {"actor": {"kernel": np.arange(seeds * 2, dtype=np.float32).reshape(seeds, 2)}}
        return TrainResult(
            info=make_info(seeds, **changes),
            history=history,
            state=PolicyState(params, None),
            final=history[-1].evaluation if history else None,
            steps_to_threshold=(300,) + (None,) * (seeds - 1),
            stopped_early=False,
            train_seconds=2.0,
            compile_seconds=1.5,
            wall_seconds=4.0,
            steps_per_second=1500.0,
            peak_memory_bytes=123,
        )

    return build
