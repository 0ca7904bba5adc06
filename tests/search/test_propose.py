"""What a model is asked, and what is taken from its answers."""

import numpy as np
import pytest
from search.engineer import FIRST, PROGRAM, engineer, weights_of

from jaxrl.commands.search import SearchOptions, _with_earlier, _without_folders, main, settings_of
from jaxrl.environment import make
from jaxrl.errors import ConfigError, RunFolderError, UnknownNameError
from jaxrl.rewards.program import compile_program
from jaxrl.search import Grammar, ModelProposer, Task, open_proposer
from jaxrl.search.propose import fenced
from jaxrl.search.records import Candidate, Curves, Iteration, Proposal
from jaxrl.vlm.asker import Asker
from jaxrl.vlm.messages import Image
from jaxrl.vlm.scripted import ScriptedClient


@pytest.fixture(scope="module")
def task():
    return Task.of(*make("CartPoleSwing-v0"))


def test_fenced_programs_are_found_and_nothing_else():
    text = (
        "Before.\n```python\ndef reward(state, action, next_state):\n    return 1.0, {}\n```\n"
        "```\nsome output\n```\n  ```py\ndef reward(a, b, c):\n    return 2.0, {}\n  ```\n"
    )
    assert [t.splitlines()[0] for t in fenced(text)] == [
        "def reward(state, action, next_state):",
        "def reward(a, b, c):",
    ]
    # Where no block defines a reward its author is told so, by the program's own refusal.
    assert fenced("```python\nx = 1\n```") == ["x = 1\n"]
    assert fenced("def reward(state): return 1") == []


def test_the_first_prompt_has_the_task_and_every_quantity(task):
    proposer = ModelProposer(Asker(ScriptedClient(engineer)), task)
    prompt = proposer.prompt([], 3)
    text = prompt.turns[0].text
    assert "back and forth" in text and "Write 3 programs that differ" in text
    assert all(f"- {name} [" in text for name in task.schema.names)
    assert "next_state.NAME" in prompt.system and "pictures" not in text
    assert prompt.digest == proposer.prompt([], 3).digest
    # Repeats of a search must not get each other's answers out of a store.
    other = ModelProposer(Asker(ScriptedClient(engineer)), task, sample=1)
    assert other.prompt([], 3).digest != prompt.digest
    proposals = proposer.propose([], 3)
    assert len({compile_program(p.source, task.schema).id for p in proposals}) == 3
    assert proposals[0].note == "First it must balance." and proposals[0].parent is None


def trained(weights, *, length, entered):
    """A history of one program and what the table will say of it."""
    steps = tuple(range(10_000, 310_000, 10_000))
    level = np.ones((30, 1))
    curves = Curves(steps, level * 2000, level * 2000, level * length, {"entered": level * entered})
    proposal = Proposal(PROGRAM.format(**weights))
    return [Iteration(0, (Candidate(proposal, "parent", curves=curves, fitness=(2000.0,)),))]


def test_a_reader_of_the_tables_finds_what_is_lacking(task):
    """The engineer of the slow test, on the real prompts."""
    proposer = ModelProposer(Asker(ScriptedClient(engineer)), task)
    still = proposer.propose(trained(FIRST, length=2000.0, entered=0.0), 3)
    assert "goes nowhere" in still[0].note and still[0].parent == "parent"
    assert all(weights_of(proposal.source)["entered"] > 10 for proposal in still)
    moving = FIRST | {"entered": 20.0}
    falls = proposer.propose(trained(moving, length=300.0, entered=0.2), 3)
    assert "falls after 300 steps" in falls[0].note
    assert weights_of(falls[0].source)["upright"] > 1.4
    swings = proposer.propose(trained(moving, length=2000.0, entered=0.2), 2)
    assert len(swings) == 2 and weights_of(swings[0].source)["entered"] > 22
    assert weights_of(swings[1].source)["lean"] < 0.4
    for proposal in (*still, *falls, *swings):
        compile_program(proposal.source, task.schema)


def test_pictures_are_parts_of_the_request(task):
    proposer = ModelProposer(Asker(ScriptedClient(engineer)), task)
    shots = [Image.from_array(np.full((8, 8, 3), k, np.uint8)) for k in range(5)]
    prompt = proposer.prompt(trained(FIRST, length=9.0, entered=0.0), 1, shots)
    assert prompt.turns[0].images == tuple(shots)
    assert "The 5 pictures show one rollout" in prompt.turns[0].text
    assert "Write 1 program, each an improvement" in prompt.turns[0].text


def test_authors_by_what_is_typed(task, tmp_path):
    assert isinstance(open_proposer("grammar", task, seed=3), Grammar)
    (tmp_path / "a.py").write_text(PROGRAM.format(**FIRST))
    assert open_proposer(f"replay:{tmp_path}", task).propose([], 1)[0].note == "a.py"
    with pytest.raises(UnknownNameError, match="unknown client 'gramar'"):
        open_proposer("gramar", task)
    with pytest.raises(ConfigError, match=r"there is nothing at .*folder of \.py files"):
        open_proposer(f"replay:{tmp_path / 'nowhere'}", task)


def test_flags_say_what_is_searched(tmp_path):
    settings = settings_of(SearchOptions(screenshots="on", steps=1000, iterations=2))
    assert settings.screenshots and settings.total_steps == 1000 and settings.iterations == 2
    assert _without_folders(["--seeds", "2", "--out", "x", "--repeats", "3"]) == [
        *("--seeds", "2", "--repeats", "3"),
    ]
    with pytest.raises(RunFolderError, match="holds no search to resume"):
        _with_earlier(["--resume", str(tmp_path)])
    (tmp_path / "command.json").write_text('{"env": "CartPole-v1", "flags": ["--seeds", "2"]}')
    flags = ["--resume", str(tmp_path)]
    assert _with_earlier(flags) == ["--seeds", "2", *flags]
    with pytest.raises(ConfigError, match="needs an environment first"):
        main(["--seeds", "2"])
    with pytest.raises(ConfigError, match="Freeway-MinAtar does not name the quantities"):
        main(["Freeway-MinAtar"])
