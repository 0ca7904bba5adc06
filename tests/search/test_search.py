"""The search itself, with small trainings: what is trained, shown, kept, and not done twice."""

import dataclasses
import json
import re

import jax
import numpy as np
import pytest

from jaxrl.algorithms.ppo import PPOConfig
from jaxrl.environment import make
from jaxrl.errors import ConfigError, JaxrlError, ModelError, RunFolderError
from jaxrl.rewards.program import compile_program, programs
from jaxrl.search import ArchiveProposer, Grammar, ModelProposer, NoProposal, Settings, Task, search
from jaxrl.search.archive import Archive
from jaxrl.search.compare import write_comparison
from jaxrl.search.records import Proposal
from jaxrl.search.report import write_report
from jaxrl.search.searching import trainer_for
from jaxrl.training import train
from jaxrl.types import RewardSource
from jaxrl.vlm.asker import Asker
from jaxrl.vlm.messages import OverBudget, Refused, TransportError
from jaxrl.vlm.scripted import ScriptedClient

SETTINGS = Settings(
    iterations=3,
    candidates=2,
    total_steps=600,
    seeds=2,
    eval_every=200,
    rollouts=2,
    held_out=2,
    preflight=False,
    films=False,
    screenshots=True,
)


def wrote(k, extra=""):
    """A program that none with another `k` is a duplicate of."""
    return (
        "def reward(state, action, next_state):\n"
        f"    near = jnp.exp(-{k + 1} * next_state.cart_position ** 2)\n"
        f'    return 1.0 + near, {{"alive": 1.0, "near": near}}{extra}\n'
    )


def answer(*texts):
    return "I see a pole.\n\n" + "\n".join(f"```python\n{text}```\n" for text in texts)


@pytest.fixture(scope="module")
def task():
    config = PPOConfig(
        num_envs=4, num_steps=25, update_epochs=1, num_minibatches=1, hidden_sizes=(8,)
    )
    return Task.of(*make("CartPole-v1", max_steps_in_episode=60), config=config)


@pytest.fixture(scope="module")
def trainer(task):
    """One for all tests, so that one set of programs is compiled."""
    return trainer_for(task, SETTINGS)


@pytest.fixture
def run(task, trainer):
    def go(proposer, **given):
        changes = {n: given.pop(n) for n in list(given) if hasattr(SETTINGS, n)}
        settings = dataclasses.replace(SETTINGS, **changes)
        return search(task, proposer, settings, trainer=trainer, **given)

    return go


def author(task, script, folder=None):
    client = ScriptedClient(script)
    asker = Asker(client, store=None if folder is None else folder / "answers.sqlite")
    return ModelProposer(asker, task), client


def counting(prompt, counter=None):
    """Answers with two programs that were not there before, by the length of the history."""
    done = prompt.turns[0].text.count("reached fitness") + prompt.turns[0].text.count("BEST")
    return answer(wrote(10 * prompt.sample + done), wrote(10 * prompt.sample + done + 5))


@pytest.fixture(scope="module")
def found(task, trainer, tmp_path_factory):
    """A whole search with screenshots, and the client that was asked."""
    folder = tmp_path_factory.mktemp("search")
    proposer, client = author(task, counting, folder)
    result = search(task, proposer, SETTINGS, trainer=trainer, out=folder)
    proposer.close()
    return result, client


def test_every_candidate_is_measured_by_the_environments_own_reward(found):
    result, _ = found
    assert [len(i.candidates) for i in result.history] == [2, 2, 2]
    for iteration in result.history:
        for candidate in iteration.candidates:
            curves = candidate.curves
            assert curves.steps == (200, 400, 600)
            assert curves.fitness.shape == (3, 2) and len(candidate.fitness) == 2
            # CartPole's own reward is 1 a step, the program's is between 1 and 2.
            np.testing.assert_allclose(curves.fitness, curves.length, rtol=1e-6)
            np.testing.assert_allclose(curves.components["alive"], 1.0, rtol=1e-6)
            whole = (curves.components["alive"] + curves.components["near"]) * curves.length
            assert (curves.generated > curves.fitness).all()
            np.testing.assert_allclose(whole, curves.generated, rtol=0.05)
    assert result.winner is not None and len(result.held_out) == 2
    assert (
        result.program
        == result.history[result.winner[0]].candidates[result.winner[1]].proposal.source
    )


def test_one_request_an_iteration_shows_the_best_and_its_pictures(found):
    result, client = found
    assert len(client.asked) == 3
    first, second, _ = client.asked
    assert first.turns[0].images == () and "Write 2 programs that differ" in first.turns[0].text
    assert "pole_angular_velocity [rad/s]" in first.turns[0].text
    best = result.history[0].candidates[result.history[0].best]
    assert best.proposal.source.strip() in second.turns[0].text
    assert "component near (mean a step)" in second.turns[0].text
    images = [image.to_array() for image in second.turns[0].images]
    assert [image.shape for image in images] == [(200, 300, 3)] * 5
    assert (images[0] != images[-1]).any()
    assert "The 5 pictures show one rollout" in second.turns[0].text


def test_comparison_has_an_interval_for_each_arm_and_leads_to_every_report(found, tmp_path):
    result, _ = found
    arms = {"without pictures": [result, result], "with pictures": [result]}
    page = write_comparison(tmp_path, arms, (0.0, 1e6)).read_text()
    assert "a winner without pictures beats one with pictures: 0.50" in page
    assert "iterations a search whose best is above 1e+06</th>" in page
    assert page.count("report.html</a>") == 3 and "2 iteration</text>" in page
    about = json.loads((tmp_path / "comparison.json").read_text())
    assert about["with pictures"]["above"] == {"0": 3.0, "1e+06": 0.0}


def test_without_screenshots_no_picture_is_sent(task, run):
    proposer, client = author(task, counting)
    run(proposer, screenshots=False, iterations=2)
    assert [prompt.turns[0].images for prompt in client.asked] == [(), ()]
    assert "pictures" not in client.asked[1].turns[0].text


def test_cut_off_anywhere_it_goes_on_as_if_it_had_not_been(task, run, found, tmp_path, monkeypatch):
    whole, _ = found
    proposer, client = author(task, counting, tmp_path)
    add = Archive.add

    def killed(self, iteration):
        if iteration.number == 1:
            raise KeyboardInterrupt  # after training, before the iteration's file is there
        add(self, iteration)

    with monkeypatch.context() as patch:
        patch.setattr(Archive, "add", killed)
        with pytest.raises(KeyboardInterrupt):
            run(proposer, out=tmp_path)
    proposer.close()
    assert len(client.asked) == 2
    proposer, later = author(task, counting, tmp_path)
    result = run(proposer, resume=tmp_path)
    proposer.close()
    # Iteration 1 was paid for already; only iteration 2 is asked.
    assert len(later.asked) == 1

    def outcome(result):
        return [[c.to_json() for c in i.candidates] for i in result.history]

    assert outcome(result) == outcome(whole)
    assert result.held_out == whole.held_out and result.winner == whole.winner
    # One that has ended trains nothing more, and says the same.
    proposer, never = author(task, counting, tmp_path)
    assert run(proposer, resume=tmp_path).held_out == whole.held_out
    proposer.close()
    assert never.asked == []
    with pytest.raises(RunFolderError, match="holds a search already"):
        run(Grammar(task.schema), out=tmp_path)
    with pytest.raises(RunFolderError, match="author 'scripted', now it is 'grammar'"):
        run(Grammar(task.schema), resume=tmp_path)


def test_refusals_go_back_to_their_author_and_the_others_train(task, run):
    bad = "def reward(state, action, next_state):\n    import os\n    return state.speed, {}\n"

    def script(prompt):
        return answer(bad, wrote(prompt.sample))

    proposer, client = author(task, script)
    result = run(proposer, iterations=2)
    refused, trained = result.history[0].candidates
    assert "line " in refused.refusals and refused.curves is None and trained.score is not None
    assert refused.refusals in client.asked[1].turns[0].text
    # The free slot is not trained twice over, nor counted.
    assert result.history[0].best == 1


def test_a_candidate_that_diverges_harms_no_other(task, trainer):
    def source(first):
        def annotate(state, trajectory):
            # Rewards of the first candidate's lanes; the second's are the environment's.
            rewards = trajectory.reward.at[:2].multiply(first)
            return state, trajectory._replace(reward=rewards), {}

        return RewardSource("test", lambda key: (), annotate, "every_step")

    lanes = trainer.lanes(0)
    well, ill = (trainer.train(source(x), lanes) for x in (1.0, float("nan")))
    assert ill.diverged == ((1, 1), (None, None)) and well.diverged == ((None, None),) * 2
    np.testing.assert_array_equal(ill.curves[1].fitness, well.curves[1].fitness)
    # The same reward on both slices: a candidate's seeds start as another's do.
    np.testing.assert_array_equal(well.curves[0].fitness, well.curves[1].fitness)
    assert (well.curves[0].fitness[:, 0] != well.curves[0].fitness[:, 1]).any()


@pytest.mark.slow  # compiles the whole of it as one
def test_stages_train_as_one_program_does(task, trainer):
    program = compile_program(wrote(1), task.schema)
    source = programs(task.env, [program, program], 2, task.params)
    settings = dict(total_steps=300, reward=source, eval_episodes=0, lanes=trainer.lanes(0))
    whole, staged = (
        train(task.algorithm, task.params, **settings, compiler=compiler)
        for compiler in (None, trainer.stages)
    )
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-4, atol=1e-5),
        whole.state.params,
        staged.state.params,
    )
    assert whole.history[-1].metrics.keys() == staged.history[-1].metrics.keys()


def test_a_search_whose_candidates_all_fail_ends(task, run):
    proposer, client = author(task, lambda prompt: answer("def reward(x):\n    return x\n"))
    result = run(proposer, iterations=5, patience=2)
    assert len(client.asked) == 2 and result.winner is None and result.score is None
    assert "the last 2 iterations had no candidate" in result.stopped
    assert "takes 1 arguments" in result.history[0].candidates[0].refusals


def test_answers_without_a_program_count_as_failures_and_are_named(task, run):
    proposer, _ = author(task, lambda prompt: "I would rather not.")
    result = run(proposer, patience=1)
    assert result.history[0].error == "the answer of scripted has no program in a fenced block"
    proposer, _ = author(task, lambda prompt: Refused("no such topic"))
    assert "no such topic" in run(proposer, patience=1).history[0].error


def test_a_spent_budget_ends_the_search_with_what_it_has(task, run):
    answers = iter([answer(wrote(0), wrote(1)), OverBudget("nothing is left")])
    proposer, _ = author(task, lambda prompt: next(answers))
    result = run(proposer)
    assert "nothing is left" in result.stopped
    assert len(result.history) == 1 and result.score is not None


def test_an_author_that_cannot_be_reached_loses_nothing(task, run, tmp_path):
    answers = iter([answer(wrote(0)), TransportError("no route", None)])
    proposer, _ = author(task, lambda prompt: next(answers))
    with pytest.raises(ModelError, match=r"no route.*--resume"):
        run(proposer, out=tmp_path)
    assert len(Archive(tmp_path).history()) == 1


def test_an_environments_fault_is_not_blamed_on_the_author(task, trainer, monkeypatch, run):
    monkeypatch.setattr(type(trainer), "untrained", lambda self, lanes: perfect)
    lanes = trainer.lanes(0, distinct=True)
    assert len({lane.seed for lane in lanes}) == 4
    perfect = trainer.train(RewardSource("n", lambda k: (), as_it_is, "every_step"), lanes).policies
    with pytest.raises(JaxrlError, match="CartPole-v1's own reward trains nothing on this path"):
        run(Grammar(task.schema), preflight=True)


def as_it_is(state, trajectory):
    return state, trajectory, {}


def test_archived_programs_are_proposed_again(task, run, found, tmp_path):
    result, _ = found
    again = run(ArchiveProposer(result.path))
    scores = [[c.fitness for c in i.candidates] for i in again.history]
    assert scores == [[c.fitness for c in i.candidates] for i in result.history]
    (tmp_path / "a.py").write_text(wrote(3))
    compile_program(wrote(4), task.schema).save(tmp_path / "b.json")
    few = ArchiveProposer(tmp_path)
    assert [p.note for p in few.propose([], 2)] == ["a.py", "b.json"]
    with pytest.raises(NoProposal, match="no more programs"):
        few.propose(result.history[:1], 2)
    with pytest.raises(ConfigError, match="holds no programs"):
        ArchiveProposer(tmp_path / "none")


def test_a_proposer_with_nothing_is_named(task, run):
    class Empty:
        name = "empty"

        def propose(self, history, count, images=()):
            return []

        def cost(self):
            return {}

    assert run(Empty(), patience=1).history[0].error == "empty proposed nothing"


def test_the_report_is_one_file_with_what_changed(found):
    result, _ = found
    page = write_report(Archive(result.path)).read_text()
    assert not re.findall(r'(?:src|href)="(?!data:|#)', page) and "<script" not in page
    assert page.count("<svg") >= 1 + 3 * len(result.history) and "cost: calls" in page
    assert "exp(-" in page and 'class="add"' in page and page.count("data:image/png") == 15
    written = json.loads((result.path / "result.json").read_text())
    assert written["held_out"] == list(result.held_out) and written["program"] == result.program


def test_what_no_author_wrote_is_no_html(found, tmp_path):
    result, _ = found
    copied = Archive(tmp_path)
    for file in result.path.glob("*.json"):
        (tmp_path / file.name).write_text(file.read_text())
    first = copied.history()[0]
    nasty = dataclasses.replace(
        first.candidates[0], proposal=Proposal("<script>alert(1)</script>", note="<img src=x>")
    )
    copied.add(dataclasses.replace(first, candidates=(nasty,), shots=0))
    for number in (1, 2):
        copied.add(dataclasses.replace(copied.history()[number], shots=0))
    page = write_report(copied).read_text()
    assert "<script>alert" not in page and "<img src=x>" not in page


def test_environments_without_words_are_refused():
    class Bare:
        name = "Bare-v0"

    with pytest.raises(ConfigError, match="Bare-v0 does not name the quantities"):
        Task.of(Bare())


@pytest.mark.parametrize("name", ["iterations", "candidates", "seeds", "rollouts", "patience"])
def test_settings_out_of_range_are_refused(run, task, name):
    with pytest.raises(ConfigError, match=f"{name}=0"):
        run(Grammar(task.schema), **{name: 0})
