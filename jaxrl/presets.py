"""Settings that are known to work, with what they were measured to reach.

`jaxrl train ALGO ENV` starts from the preset of that pair where there is one. Every `reached` was
measured by `benchmarks/presets.py`, which writes it with its curve and machine into
`benchmarks/results/`; LunarLander's by `benchmarks/transfer.py`, which also plays in Gymnasium's.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from jaxrl.algorithms.actor_critic import ActorCriticConfig
from jaxrl.algorithms.dqn import DQNConfig
from jaxrl.algorithms.grpo import GRPOConfig
from jaxrl.algorithms.ppo import PPOConfig
from jaxrl.algorithms.pqn import PQNConfig
from jaxrl.algorithms.reinforce import ReinforceConfig
from jaxrl.algorithms.sac import SACConfig
from jaxrl.algorithms.trpo import TRPOConfig
from jaxrl_envs import OLDER_NAMES


class Preset(NamedTuple):
    """Settings for one algorithm on one environment.

    Attributes:
        config: the algorithm's config.
        total_steps: environment steps per seed.
        threshold: the evaluation return that counts as solved.
        seeds: how many seeds it is measured with.
        needed: how many of them are to reach the threshold; None asks it of their mean.
        reached: what was measured.
        env_settings: arguments of `make` to train with, such as a cheaper solver.
        best: the return that the best evaluation of a seed's run is to reach as well; None asks
            for nothing but the last one. Q-learning rises and falls: the two say different things.
    """

    config: Any
    total_steps: int
    threshold: float
    seeds: int
    needed: int | None
    reached: str
    env_settings: Mapping[str, Any] = MappingProxyType({})
    best: float | None = None

    @property
    def target(self) -> str:
        """What is asked of it, in words."""
        if self.needed is None:
            return f"mean of {self.seeds} seeds of at least {self.threshold:g}"
        at_best = "" if self.best is None else f", {self.best:g} at best"
        return f"{self.threshold:g}{at_best} in {self.needed} of {self.seeds} seeds"

    def meets(self, final: np.ndarray, best: np.ndarray) -> bool:
        """Whether the seeds' mean returns, each `[S]`, are what is asked.

        Args:
            final: at the last evaluation.
            best: at each seed's best evaluation.
        """
        if self.needed is None:
            return bool(final.mean() >= self.threshold)
        return int(self.reached_by(final, best).sum()) >= self.needed

    def reached_by(self, final: np.ndarray, best: np.ndarray) -> np.ndarray:
        """Which seeds did what is asked of one, bool `[S]`; see `meets`."""
        asked_at_best = -np.inf if self.best is None else self.best
        return (final >= self.threshold) & (best >= asked_at_best)


# Many lanes: on a CPU the lander's solver is dear one by one and cheap by the thousand. The long
# horizon is what makes a policy switch its engines off and wait for the lander to come to rest.
# Returns of hundreds have to be scaled: left as they are, three million steps did not land it.
_LUNAR_LANDER = PPOConfig(
    num_envs=512,
    num_steps=64,
    update_epochs=2,
    num_minibatches=32,
    learning_rate=1e-3,
    learning_rate_final=0.0,
    gamma=0.997,
    gae_lambda=0.97,
    ent_coef=0.01,
    ent_coef_final=0.0,
    normalize_reward=True,
)

# Layer normalisation and three-step targets keep CartPole's values below the most there is, 100.
_SMALL_DQN = DQNConfig(
    num_envs=8,
    num_steps=8,
    buffer_size=100_000,
    replay_ratio=0.25,
    learning_starts=1_000,
    learning_rate=1e-3,
    learning_rate_final=0.0,
    n_step=3,
    target_period=1,
    tau=0.02,
    exploration_fraction=0.2,
    hidden_sizes=(64, 64),
    layer_norm=True,
)

PRESETS: dict[tuple[str, ...], Preset] = {
    ("ppo", "CartPole-v1"): Preset(
        # rl-baselines3-zoo's, with half its epochs, the usual λ, and four minibatches an epoch:
        # with its one, whose gradient is the whole window's, one seed in ten is not there in time.
        PPOConfig(
            num_envs=8,
            num_steps=32,
            update_epochs=10,
            num_minibatches=4,
            learning_rate=1e-3,
            learning_rate_final=0.0,
            gamma=0.98,
            clip_eps_final=0.0,
        ),
        total_steps=100_000,
        threshold=475.0,
        seeds=10,
        needed=9,
        reached="10 of 10 seeds, IQM 500.0",
    ),
    ("ppo", "Acrobot-v1"): Preset(
        PPOConfig(
            num_envs=16,
            num_steps=128,
            update_epochs=10,
            num_minibatches=8,
            learning_rate=1e-3,
            learning_rate_final=0.0,
            gae_lambda=0.94,
            normalize_obs=True,
        ),
        total_steps=200_000,
        threshold=-100.0,
        seeds=10,
        needed=9,
        reached="10 of 10 seeds, IQM -81.9",
    ),
    ("ppo", "Pendulum-v1"): Preset(
        # The short horizon of γ = 0.9 is rl-baselines3-zoo's.
        PPOConfig(
            num_envs=8,
            num_steps=256,
            update_epochs=10,
            num_minibatches=32,
            learning_rate=1e-3,
            learning_rate_final=0.0,
            gamma=0.9,
        ),
        total_steps=200_000,
        threshold=-250.0,
        seeds=10,
        needed=8,
        reached="10 of 10 seeds, IQM -191.9",
    ),
    ("ppo", "Breakout-MinAtar"): Preset(
        # A plain network on the 10 × 10 board: on a CPU a convolution is five times dearer.
        PPOConfig(
            num_envs=64,
            num_steps=32,
            update_epochs=4,
            num_minibatches=8,
            learning_rate=2.5e-3,
            learning_rate_final=0.0,
            ent_coef=0.01,
            torso="mlp",
            hidden_sizes=(128, 128),
            activation="relu",
        ),
        total_steps=1_000_000,
        threshold=15.0,
        seeds=3,
        needed=None,
        reached="3 of 3 seeds, mean 20.9",
    ),
    ("ppo", "LunarLander-v3"): Preset(
        _LUNAR_LANDER,
        total_steps=5_000_000,
        threshold=240.0,
        seeds=3,
        needed=3,
        reached="3 of 3 seeds, mean 260.9; in Gymnasium's own 265.6",
        env_settings={"solver": "fast"},
    ),
    ("ppo", "LunarLanderContinuous-v3"): Preset(
        # A wide Gaussian fires an engine by chance at almost every step, so that the lander never
        # comes to rest: no bonus for staying wide, and twice the gradient steps to narrow it.
        _LUNAR_LANDER.replace(update_epochs=4, ent_coef=0.0, ent_coef_final=None),
        total_steps=5_000_000,
        threshold=220.0,
        seeds=3,
        needed=3,
        reached="3 of 3 seeds, mean 241.7; in Gymnasium's own 251.1",
        env_settings={"solver": "fast"},
    ),
    ("a2c", "CartPole-v1"): Preset(
        ActorCriticConfig(learning_rate_final=0.0),
        total_steps=500_000,
        threshold=475.0,
        seeds=10,
        needed=8,
        reached="10 of 10 seeds, IQM 500.0",
    ),
    ("a2c", "Acrobot-v1"): Preset(
        ActorCriticConfig(
            num_envs=16,
            num_steps=8,
            optimizer="adam",
            learning_rate=1.5e-3,
            learning_rate_final=0.0,
            ent_coef=0.003,
            gae_lambda=0.95,
            normalize_obs=True,
        ),
        total_steps=500_000,
        threshold=-100.0,
        seeds=10,
        needed=8,
        reached="10 of 10 seeds, IQM -84.1",
    ),
    ("trpo", "CartPole-v1"): Preset(
        # λ, damping and the critic's passes are rl-baselines3-zoo's.
        TRPOConfig(
            num_envs=4,
            num_steps=256,
            num_minibatches=8,
            cg_damping=1e-3,
            gae_lambda=0.98,
            n_critic_updates=20,
        ),
        total_steps=100_000,
        threshold=475.0,
        seeds=10,
        needed=8,
        reached="9 of 10 seeds, IQM 500.0",
    ),
    ("trpo", "Acrobot-v1"): Preset(
        TRPOConfig(
            num_envs=8,
            num_steps=128,
            num_minibatches=8,
            cg_damping=1e-3,
            gae_lambda=0.9,
            n_critic_updates=15,
            normalize_obs=True,
        ),
        total_steps=100_000,
        threshold=-100.0,
        seeds=10,
        needed=8,
        reached="9 of 10 seeds, IQM -89.8",
    ),
    ("trpo", "Pendulum-v1"): Preset(
        # The short horizon of γ = 0.9 is rl-baselines3-zoo's.
        TRPOConfig(
            num_envs=8,
            num_steps=256,
            num_minibatches=16,
            cg_damping=1e-3,
            gamma=0.9,
            n_critic_updates=15,
        ),
        total_steps=200_000,
        threshold=-300.0,
        seeds=10,
        needed=8,
        reached="10 of 10 seeds, IQM -178.3",
    ),
    ("reinforce", "CartPole-v1"): Preset(
        ReinforceConfig(learning_rate_final=0.0),
        total_steps=500_000,
        threshold=475.0,
        seeds=10,
        needed=9,
        reached="10 of 10 seeds, IQM 497.7",
    ),
    ("grpo", "CartPole-v1"): Preset(
        GRPOConfig(learning_rate_final=0.0),
        total_steps=400_000,
        threshold=475.0,
        seeds=10,
        needed=9,
        reached="10 of 10 seeds, IQM 500.0",
    ),
    ("grpo", "CartPole-v1", "notes"): Preset(
        GRPOConfig.notes(learning_rate_final=0.0),
        total_steps=700_000,
        threshold=475.0,
        seeds=10,
        needed=8,
        reached="10 of 10 seeds, IQM 500.0",
    ),
    ("dqn", "CartPole-v1"): Preset(
        _SMALL_DQN,
        total_steps=100_000,
        threshold=400.0,
        seeds=10,
        needed=8,
        reached="10 of 10 seeds, IQM 500.0",
        best=475.0,
    ),
    ("dqn", "Acrobot-v1"): Preset(
        _SMALL_DQN,
        total_steps=100_000,
        threshold=-110.0,
        seeds=10,
        needed=8,
        reached="10 of 10 seeds, IQM -82.2",
    ),
    ("dqn", "LunarLander-v3"): Preset(
        # Rewards of hundreds need no scaling here: Huber's loss bounds what an error pulls.
        DQNConfig(
            num_envs=128,
            num_steps=4,
            buffer_size=250_000,
            replay_ratio=1 / 16,
            learning_starts=10_000,
            learning_rate=1e-3,
            learning_rate_final=0.0,
            n_step=3,
            target_period=1,
            tau=0.005,
            epsilon_final=0.02,
            exploration_fraction=0.3,
            hidden_sizes=(128, 128),
            layer_norm=True,
        ),
        total_steps=1_000_000,
        threshold=200.0,
        seeds=4,
        needed=4,
        reached="4 of 4 seeds, mean 228.5",
        env_settings={"solver": "fast"},
    ),
    ("dqn", "Breakout-MinAtar"): Preset(
        # A plain network, as PPO's above. Two seeds of five stay at 25.
        DQNConfig(
            num_envs=64,
            num_steps=4,
            buffer_size=100_000,
            replay_ratio=1 / 16,
            learning_starts=10_000,
            store_obs_as="bool",
            learning_rate=1e-3,
            learning_rate_final=0.0,
            n_step=3,
            target_period=1,
            tau=0.005,
            epsilon_final=0.01,
            exploration_fraction=0.1,
            torso="mlp",
            hidden_sizes=(128, 128),
            layer_norm=True,
        ),
        total_steps=1_000_000,
        threshold=30.0,
        seeds=5,
        needed=None,
        reached="4 of 5 seeds, mean 35.0",
    ),
    ("pqn", "Breakout-MinAtar"): Preset(
        # A plain network, as PPO's above.
        PQNConfig(
            num_envs=64,
            num_steps=32,
            learning_rate=1e-3,
            q_lambda=0.65,
            epsilon_final=0.01,
            exploration_fraction=0.1,
            torso="mlp",
        ),
        total_steps=3_000_000,
        threshold=30.0,
        seeds=5,
        needed=None,
        reached="5 of 5 seeds, mean 55.0",
    ),
    ("pqn", "CartPole-v1"): Preset(
        PQNConfig(num_minibatches=8, learning_rate=1e-3, epsilon_final=0.05, hidden_sizes=(64, 64)),
        total_steps=500_000,
        threshold=475.0,
        seeds=10,
        needed=9,
        reached="10 of 10 seeds, IQM 500.0",
    ),
    ("sac", "CartPole-v1"): Preset(
        SACConfig(
            num_envs=8,
            num_steps=4,
            buffer_size=50_000,
            batch_size=128,
            replay_ratio=0.25,
            learning_starts=500,
            learning_rate=1e-3,
            learning_rate_final=0.0,
            target_entropy_ratio=0.3,
            tau=0.1,
            hidden_sizes=(64, 64),
            layer_norm=True,
        ),
        total_steps=50_000,
        threshold=450.0,
        seeds=10,
        needed=8,
        reached="10 of 10 seeds, IQM 500.0",
    ),
    ("sac", "Pendulum-v1"): Preset(
        SACConfig(
            num_envs=2,
            num_steps=4,
            buffer_size=20_000,
            batch_size=128,
            replay_ratio=0.5,
            learning_starts=200,
            learning_rate=2e-3,
            learning_rate_final=0.0,
            tau=0.01,
            hidden_sizes=(64, 64),
        ),
        total_steps=20_000,
        threshold=-200.0,
        seeds=10,
        needed=9,
        reached="10 of 10 seeds, IQM -148.4",
    ),
}
"""`(algorithm, environment)` to preset; a third word names another one of the same pair."""


def preset(algorithm: str, env: str, *variant: str) -> Preset | None:
    """The preset of that pair; see `known_as` for names of the same environment."""
    return PRESETS.get((algorithm, known_as(env), *variant))


def known_as(env: str) -> str:
    """The name that presets have for an environment: without `gymnax:`, and the newest."""
    plain = env.removeprefix("gymnax:")
    return OLDER_NAMES.get(plain, plain)
