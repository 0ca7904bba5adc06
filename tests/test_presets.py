"""Presets: what they promise is well-formed, and (slowly) kept."""

import numpy as np
import pytest

from jaxrl.algorithms import ALGORITHMS, algorithm_entry
from jaxrl.environment import make
from jaxrl.presets import PRESETS, Preset, preset
from jaxrl.training import train

each_preset = pytest.mark.parametrize("pair", PRESETS, ids=":".join)


@each_preset
def test_builds_and_says_what_it_reached(pair):
    algorithm, env_name, *variant = pair
    known = PRESETS[pair]
    env, _ = make(env_name)
    assert algorithm in ALGORITHMS
    built = algorithm_entry(algorithm).build(env, known.config)
    assert known.total_steps >= built.steps_per_update
    assert known.reached, "measure it with benchmarks/presets.py"
    assert preset(algorithm, f"gymnax:{env_name}", *variant) is known


def test_target_is_a_number_of_seeds_or_their_mean():
    some = Preset(None, 1, 10.0, 3, 2, "")
    assert some.meets(np.array([10.0, 11.0, 0.0])) and not some.meets(np.array([10.0, 9.0, 0.0]))
    mean = some._replace(needed=None)
    assert mean.meets(np.array([30.0, 0.0, 0.0])) and not mean.meets(np.array([9.0, 9.0, 9.0]))


@pytest.mark.slow
@each_preset
def test_reaches_its_target(pair):
    known = PRESETS[pair]
    env, params = make(pair[1])
    algorithm = algorithm_entry(pair[0]).build(env, known.config)
    result = train(
        algorithm, params, total_steps=known.total_steps, seeds=known.seeds, eval_every=0
    )
    assert known.meets(result.final.per_seed), (known.target, np.sort(result.final.per_seed))
