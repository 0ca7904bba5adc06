"""Presets: what they promise is well-formed, as recorded, and (slowly) kept."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

from jaxrl.algorithms import ALGORITHMS, algorithm_entry
from jaxrl.commands.options import make_env
from jaxrl.environment import make
from jaxrl.presets import PRESETS, Preset, preset
from jaxrl.training import train

each_preset = pytest.mark.parametrize("pair", PRESETS, ids=":".join)


@each_preset
def test_builds_and_says_what_it_reached(pair):
    algorithm, env_name, *variant = pair
    known = PRESETS[pair]
    env, _ = make(env_name, **known.env_settings)
    assert algorithm in ALGORITHMS
    built = algorithm_entry(algorithm).build(env, known.config)
    assert known.total_steps >= built.steps_per_update
    assert known.reached, "measure it with benchmarks/presets.py"
    assert preset(algorithm, f"gymnax:{env_name}", *variant) is known


@pytest.fixture(scope="module")
def recorded():
    """The last measurement of each preset by `benchmarks/presets.py`."""
    file = Path(__file__).parents[1] / "benchmarks" / "results" / "presets.jsonl"
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    return {(x["algorithm"], x["env"], *filter(None, [x.get("variant")])): x for x in lines}


@each_preset
def test_says_what_was_recorded_last(pair, recorded):
    if pair not in recorded:
        assert "in Gymnasium's own" in PRESETS[pair].reached
        pytest.skip("measured by benchmarks/transfer.py, in another form")
    last = recorded[pair]
    said = re.fullmatch(r"(\d+) of (\d+) seeds?, (IQM|mean) (\S+)", PRESETS[pair].reached)
    assert said is not None
    counts = last["at_threshold"], len(last["per_seed"])
    assert (int(said[1]), int(said[2])) == counts
    assert said[4] == f"{last[said[3].lower()]:.1f}"


def test_a_presets_settings_of_its_environment_are_the_commands_defaults():
    known = preset("ppo", "LunarLander-v3")
    assert known is not None and known.env_settings == {"solver": "fast"}
    env, params = make_env("LunarLander-v3", ["gravity=-9"], known.env_settings)
    assert (env.solver, params.gravity) == ("fast", -9)
    env, _ = make_env("LunarLander-v3", ["solver=exact"], known.env_settings)
    assert env.solver == "exact"


def test_an_older_name_of_an_environment_has_its_presets():
    for name in ("LunarLander", "LunarLanderContinuous"):
        assert preset("ppo", f"{name}-v2") is preset("ppo", f"{name}-v3") is not None


def test_target_is_a_number_of_seeds_or_their_mean():
    some = Preset(None, 1, 10.0, 3, 2, "")
    two, one = np.array([10.0, 11.0, 0.0]), np.array([10.0, 9.0, 0.0])
    assert some.target == "10 in 2 of 3 seeds"
    assert some.meets(two, two) and not some.meets(one, one)
    mean = some._replace(needed=None)
    high, low = np.array([30.0, 0.0, 0.0]), np.array([9.0, 9.0, 9.0])
    assert mean.meets(high, high) and not mean.meets(low, low)


def test_target_can_ask_for_the_best_evaluation_too():
    known = Preset(None, 1, 10.0, 3, 2, "", best=20.0)
    final, best = np.array([10.0, 11.0, 0.0]), np.array([20.0, 19.0, 30.0])
    assert known.target == "10, 20 at best in 2 of 3 seeds"
    np.testing.assert_array_equal(known.reached_by(final, best), [True, False, False])
    assert not known.meets(final, best) and known.meets(final, best + 1)


@pytest.mark.slow
@each_preset
def test_reaches_its_target(pair):
    known = PRESETS[pair]
    env, params = make(pair[1], **known.env_settings)
    algorithm = algorithm_entry(pair[0]).build(env, known.config)
    every = 0 if known.best is None else None
    result = train(
        algorithm, params, total_steps=known.total_steps, seeds=known.seeds, eval_every=every
    )
    final = result.final.per_seed
    assert known.meets(final, result.best), (known.target, np.sort(final), np.sort(result.best))
