"""Programs of the kind that models write: accepted, and equal to plain Python."""

import functools
import re
from pathlib import Path

import jax
import numpy as np
import plain_python
import pytest

from jaxrl.environment import make
from jaxrl.rewards.program import compile_program, schema_of

GOOD = sorted((Path(__file__).parent.parent / "corpus" / "good").glob("*.py"))
NUM_STATES = 512


@functools.cache
def schema(env):
    return schema_of(*make(env))


@functools.cache
def steps(env):
    return plain_python.random_steps(schema(env), NUM_STATES)


def test_the_corpus_is_large():
    assert len(GOOD) >= 40


@pytest.mark.parametrize("path", GOOD, ids=lambda path: path.stem)
def test_equals_plain_python(path):
    source = path.read_text()
    env = re.search(r"# env: (\S+)", source)[1]
    program = compile_program(source, schema(env))
    total, components = jax.vmap(program)(*steps(env))
    expected_total, expected = plain_python.rewards(source, *steps(env))
    assert set(components) == set(expected) == set(program.components)
    np.testing.assert_allclose(total, expected_total, rtol=2e-4, atol=2e-5)
    for name, values in expected.items():
        np.testing.assert_allclose(components[name], values, rtol=2e-4, atol=2e-5, err_msg=name)
