"""The estimators, one file each, and the table by which they are named.

`ALGORITHMS` is what the CLI, the presets and the tests that every algorithm must pass go by: an
entry here is all it takes for an algorithm to be trained, listed and proved.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from jaxrl.algorithms import actor_critic, dqn, grpo, ppo, pqn, reinforce, sac, trpo
from jaxrl.errors import UnknownNameError, unknown_name
from jaxrl.types import Algorithm


class AlgorithmEntry(NamedTuple):
    """One row of the table.

    Attributes:
        build: `(env, config) -> Algorithm`.
        config: the config's class.
        actions: kinds of action space it takes, of `discrete` and `continuous`.
        summary: one line for listings.
        variants: other configs that the config's class makes, each by a method of its name.
    """

    build: Callable[[Any, Any], Algorithm]
    config: type
    actions: tuple[str, ...]
    summary: str
    variants: tuple[str, ...] = ()

    def variant(self, algorithm: str, name: str) -> Any:
        """The config of that name, or the default one of the empty name.

        Raises:
            UnknownNameError: there is none of that name.
        """
        if not name:
            return self.config()
        if name not in self.variants and not self.variants:
            raise UnknownNameError(
                f"{algorithm} has no variants, {algorithm}:{name} neither: type {algorithm}."
            )
        if name not in self.variants:
            raise unknown_name(f"variant of {algorithm}", name, self.variants)
        return getattr(self.config, name)()


ALGORITHMS: dict[str, AlgorithmEntry] = {
    "reinforce": AlgorithmEntry(
        reinforce.reinforce,
        reinforce.ReinforceConfig,
        ("discrete", "continuous"),
        "the policy gradient of whole episodes, with a baseline",
        ("notes",),
    ),
    "a2c": AlgorithmEntry(
        actor_critic.a2c,
        actor_critic.ActorCriticConfig,
        ("discrete", "continuous"),
        "actor-critic: one-step, A2C, or V-trace for actors that lag",
        ("notes", "impala"),
    ),
    "trpo": AlgorithmEntry(
        trpo.trpo,
        trpo.TRPOConfig,
        ("discrete", "continuous"),
        "natural gradient within a trust region, on-policy",
        ("notes",),
    ),
    "ppo": AlgorithmEntry(
        ppo.ppo,
        ppo.PPOConfig,
        ("discrete", "continuous"),
        "clipped policy optimisation, on-policy",
        ("notes",),
    ),
    "grpo": AlgorithmEntry(
        grpo.grpo,
        grpo.GRPOConfig,
        ("discrete", "continuous"),
        "clipped like PPO, groups of whole episodes instead of a critic",
        ("notes",),
    ),
    "dqn": AlgorithmEntry(
        dqn.dqn, dqn.DQNConfig, ("discrete",), "Q-learning from a replay, with a target network"
    ),
    "pqn": AlgorithmEntry(
        pqn.pqn, pqn.PQNConfig, ("discrete",), "Q(λ) on-policy, without replay or target network"
    ),
    "sac": AlgorithmEntry(
        sac.sac,
        sac.SACConfig,
        ("discrete", "continuous"),
        "soft actor-critic: from a replay, with entropy in the reward",
    ),
}


def algorithm_entry(name: str) -> AlgorithmEntry:
    """The row of that name; raises `UnknownNameError` with the nearest names."""
    if name not in ALGORITHMS:
        raise unknown_name("algorithm", name, ALGORITHMS, hint="`jaxrl algos` lists them.")
    return ALGORITHMS[name]
