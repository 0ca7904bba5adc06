"""jaxrl: reinforcement learning end to end on the accelerator, with VLMs in the loop.

Names are loaded when they are first used, so that importing the package costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jaxrl.algorithms.actor_critic import ActorCriticConfig as ActorCriticConfig
    from jaxrl.algorithms.actor_critic import a2c as a2c
    from jaxrl.algorithms.dqn import DQNConfig as DQNConfig
    from jaxrl.algorithms.dqn import dqn as dqn
    from jaxrl.algorithms.grpo import GRPOConfig as GRPOConfig
    from jaxrl.algorithms.grpo import grpo as grpo
    from jaxrl.algorithms.ppo import PPOConfig as PPOConfig
    from jaxrl.algorithms.ppo import ppo as ppo
    from jaxrl.algorithms.pqn import PQNConfig as PQNConfig
    from jaxrl.algorithms.pqn import pqn as pqn
    from jaxrl.algorithms.reinforce import ReinforceConfig as ReinforceConfig
    from jaxrl.algorithms.reinforce import reinforce as reinforce
    from jaxrl.algorithms.sac import SACConfig as SACConfig
    from jaxrl.algorithms.sac import sac as sac
    from jaxrl.algorithms.trpo import TRPOConfig as TRPOConfig
    from jaxrl.algorithms.trpo import trpo as trpo
    from jaxrl.devices import use_cores as use_cores
    from jaxrl.environment import Environment as Environment
    from jaxrl.environment import check_env as check_env
    from jaxrl.environment import make as make
    from jaxrl.environment import register as register
    from jaxrl.evaluation import evaluate as evaluate
    from jaxrl.presets import preset as preset
    from jaxrl.records import Callback as Callback
    from jaxrl.records import TrainResult as TrainResult
    from jaxrl.run.opening import open_run as open_run
    from jaxrl.run.plots import plot as plot
    from jaxrl.run.progress import Progress as Progress
    from jaxrl.run.video import show as show
    from jaxrl.sweeping import sweep as sweep
    from jaxrl.training import train as train
    from jaxrl.types import Algorithm as Algorithm
    from jaxrl.types import RewardSource as RewardSource
    from jaxrl.types import TrainState as TrainState
    from jaxrl.types import Transition as Transition
    from jaxrl.update import make_train as make_train
    from jaxrl.update import make_update as make_update

__version__ = "0.1.0"

_HOME = {
    "ActorCriticConfig": "algorithms.actor_critic",
    "a2c": "algorithms.actor_critic",
    "PPOConfig": "algorithms.ppo",
    "ppo": "algorithms.ppo",
    "DQNConfig": "algorithms.dqn",
    "dqn": "algorithms.dqn",
    "GRPOConfig": "algorithms.grpo",
    "grpo": "algorithms.grpo",
    "ReinforceConfig": "algorithms.reinforce",
    "reinforce": "algorithms.reinforce",
    "TRPOConfig": "algorithms.trpo",
    "trpo": "algorithms.trpo",
    "PQNConfig": "algorithms.pqn",
    "pqn": "algorithms.pqn",
    "SACConfig": "algorithms.sac",
    "sac": "algorithms.sac",
    "use_cores": "devices",
    "Environment": "environment",
    "check_env": "environment",
    "make": "environment",
    "register": "environment",
    "evaluate": "evaluation",
    "preset": "presets",
    "Callback": "records",
    "TrainResult": "records",
    "open_run": "run.opening",
    "plot": "run.plots",
    "Progress": "run.progress",
    "show": "run.video",
    "sweep": "sweeping",
    "train": "training",
    "Algorithm": "types",
    "RewardSource": "types",
    "TrainState": "types",
    "Transition": "types",
    "make_train": "update",
    "make_update": "update",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'jaxrl' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"jaxrl.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOME])
