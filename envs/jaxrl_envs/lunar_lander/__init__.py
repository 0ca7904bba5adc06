"""LunarLander-v3 and LunarLanderContinuous-v3 (see `environment`)."""

from jaxrl_envs.lunar_lander.environment import LunarLander as LunarLander
from jaxrl_envs.lunar_lander.state import LunarLanderParams as LunarLanderParams
from jaxrl_envs.lunar_lander.state import LunarLanderState as LunarLanderState
