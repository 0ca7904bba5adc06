"""Reward sources: who decides what a step was worth, between collecting and learning."""

from jaxrl.rewards.environment import environment as environment
from jaxrl.rewards.mixture import mixture as mixture
from jaxrl.rewards.vlm import vlm as vlm
