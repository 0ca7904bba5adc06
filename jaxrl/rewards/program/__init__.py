"""Rewards that somebody wrote as a program, a model for one, and that nobody has to trust.

    schema = schema_of(env, params)
    reward = compile_program(text, schema)          # raises ProgramError: line, reason, advice
    total, components = reward(state, action, next_state)
    jaxrl.train(..., reward=program(env, reward, params))

See docs/reward_programs.md for the language.
"""

from jaxrl.errors import ProgramError as ProgramError
from jaxrl.rewards.program.canonical import diff as diff
from jaxrl.rewards.program.compiled import RewardProgram as RewardProgram
from jaxrl.rewards.program.compiled import Rule as Rule
from jaxrl.rewards.program.compiled import compile_program as compile_program
from jaxrl.rewards.program.compiled import compile_rule as compile_rule
from jaxrl.rewards.program.gates import Ranking as Ranking
from jaxrl.rewards.program.gates import Verdict as Verdict
from jaxrl.rewards.program.gates import examine as examine
from jaxrl.rewards.program.refusal import Refusal as Refusal
from jaxrl.rewards.program.refusal import for_author as for_author
from jaxrl.rewards.program.schema import Schema as Schema
from jaxrl.rewards.program.schema import action_schema as action_schema
from jaxrl.rewards.program.schema import schema_of as schema_of
from jaxrl.rewards.program.source import program as program
from jaxrl.rewards.program.source import programs as programs
from jaxrl.rewards.program.steps import Steps as Steps
from jaxrl.rewards.program.steps import collect_steps as collect_steps
from jaxrl.rewards.program.steps import steps_of_episode as steps_of_episode
