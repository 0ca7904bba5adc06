"""The author without a model: every program of its is one, and it is the same again."""

import numpy as np
import pytest

from jaxrl.environment import make
from jaxrl.errors import ConfigError
from jaxrl.rewards.program import Schema, compile_program, schema_of
from jaxrl.rewards.program.schema import ActionSchema
from jaxrl.search.grammar import FIRST_TERMS, MAX_TERMS, Grammar, Term, read, write
from jaxrl.search.records import Candidate, Iteration


@pytest.fixture(scope="module", params=["CartPoleSwing-v0", "LunarLander-v3", "Acrobot-v1"])
def schema(request):
    return schema_of(*make(request.param))


def rounds(grammar, schema, count, number=6):
    """A history in which each proposal was trained; the later ones of a round are the fitter."""
    history = []
    for i in range(number):
        made = grammar.propose(history, count)
        programs = [compile_program(p.source, schema) for p in made]
        trained = [
            Candidate(p, program.id, fitness=(float(10 * i + k),))
            for k, (p, program) in enumerate(zip(made, programs, strict=True))
        ]
        history.append(Iteration(i, tuple(trained)))
    return history


def test_programs_are_accepted_and_bounded_and_none_comes_twice(schema):
    history = rounds(Grammar(schema, seed=3), schema, 4)
    sources = [c.proposal.source for i in history for c in i.candidates]
    assert len(set(sources)) == len(sources) == 24
    sizes = [len(read(source)) for source in sources]
    assert max(sizes) <= MAX_TERMS and max(sizes[:4]) <= FIRST_TERMS + 1


def test_children_descend_from_the_best_and_one_is_a_newcomer(schema):
    history = rounds(Grammar(schema, seed=1), schema, 3)
    best = history[1].candidates[2].program
    assert [c.proposal.parent for c in history[2].candidates] == [best, best, None]
    parent = {term.name for term in read(history[1].candidates[2].proposal.source)}
    child = {term.name for term in read(history[2].candidates[0].proposal.source)}
    assert parent & child and len(parent ^ child) <= 6


def test_an_iteration_is_the_same_whoever_resumes(schema):
    history = rounds(Grammar(schema, seed=5), schema, 3, number=3)
    again = Grammar(schema, seed=5).propose(history[:2], 3)
    assert again == [c.proposal for c in history[2].candidates]
    assert Grammar(schema, seed=6).propose(history[:2], 3) != again


def test_terms_are_what_they_are_called(schema):
    names = [q.name for q in schema.quantities if q.shape == ()][:2]
    rng = np.random.default_rng(0)
    state, after = (
        {
            q.name: rng.normal(size=q.shape).astype(np.float32).astype(q.dtype)
            for q in schema.quantities
        }
        for _ in range(2)
    )
    a, b = (float(after[name]) for name in names)
    change = a - float(state[names[0]])
    expected = {
        "alive": 1.0,
        "value": a,
        "size": abs(a),
        "square": a**2,
        "near": np.exp(-((a / 2.0) ** 2)),
        "change": change,
        "moved": abs(change),
        "product": a * b,
        "beyond": float(a > b),
    }
    for kind, value in expected.items():
        second = names[1] if kind in ("product", "beyond") else ""
        term = Term(kind, "" if kind == "alive" else names[0], second, -0.5, 2.0)
        program = compile_program(write([term]), schema)
        total, components = program(state, 0, after)
        np.testing.assert_allclose(total, -0.5 * value, rtol=1e-5, atol=1e-6)
        assert list(components) == [term.name]
        assert read(program.source) == [term]


def test_it_knows_only_the_schema():
    plain = Schema("x", (), ActionSchema(2))
    with pytest.raises(ConfigError, match="no quantity that is a single number"):
        Grammar(plain)
    assert read("def reward(state, action, next_state):\n    return 0.0, {}\n") is None
