"""A model's words as the reward: exact, late or learned; what fails is masked, never invented."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from rewards.standins import Number, Question, asker, fussy, mean_pixel
from rewards.toy import Shades, adder

from jaxrl import rewards
from jaxrl.errors import ConfigError, EnvironmentContractError, ModelError, UnknownNameError
from jaxrl.training import train
from jaxrl.types import Recorded
from jaxrl.update import initial_carry, make_train, make_update
from jaxrl.vlm.messages import Refused, TransportError
from jaxrl_envs import base

ENV = Shades()
LANES, STEPS = 3, 4
PER_UPDATE = LANES * STEPS


def source(asks, alpha=0.15, **settings):
    settings = dict(size=(8, 12)) | settings
    judged = rewards.vlm(ENV, asks, Question(), Number(), **settings)
    return rewards.mixture(rewards.environment(), judged, alpha)


def run(reward, updates=12, seeds=2, algorithm=None, **settings):
    return train(
        algorithm or adder(ENV),
        total_steps=updates * PER_UPDATE,
        seeds=seeds,
        reward=reward,
        eval_episodes=0,
        log_every=PER_UPDATE,
        **settings,
    )


def numbers(result):
    return {name: np.asarray(x) for name, x in result.state.params.items()}


def same(a, b):
    for name, x in numbers(a).items():
        np.testing.assert_array_equal(x, numbers(b)[name], err_msg=name)


def shades(trajectory):
    """The shade of the state that each row led to."""
    return jax.vmap(jax.vmap(jax.vmap(ENV.shade)))(trajectory.record.state)


@pytest.fixture(scope="module")
def collected():
    """What two seeds collected, `[2, T, B]`, with every state."""
    algorithm = adder(ENV)
    keys = jnp.stack([jax.random.key(0), jax.random.key(1)])
    states = jax.vmap(lambda k: algorithm.init(k, ENV.default_params))(keys)
    return jax.jit(jax.vmap(lambda s: algorithm.collect(s, "every_step")[1]))(states)


def annotated(reward, trajectory):
    """The trajectory with its rewards, and the metrics."""
    state = reward.init(jax.random.key(0))
    if reward.prepare is not None:
        state = reward.prepare(state, trajectory)
    _, trajectory, metrics = jax.jit(reward.annotate)(state, trajectory)
    return trajectory, {name: np.asarray(mean.value) for name, mean in metrics.items()}


def at_ends(trajectory):
    """The same as `collect` gives it where only episode ends were asked for."""
    ended = trajectory.terminated | trajectory.truncated

    def of_seed(states, ended):
        time, lane = jnp.nonzero(ended, size=LANES, fill_value=-1)
        return Recorded(jax.tree.map(lambda x: x[time, lane], states), time, lane, time >= 0)

    return trajectory._replace(record=jax.vmap(of_seed)(trajectory.record.state, ended))


class TestCallback:
    def test_judges_the_state_arrived_in_of_all_seeds_in_one_call(self, collected):
        ended = np.asarray(collected.terminated | collected.truncated)
        assert 1 < ended.sum() <= 2 * LANES
        asks = asker()
        got, metrics = annotated(source(asks), at_ends(collected))
        assert asks.client.batches == [len(np.unique(np.asarray(shades(collected))[ended]))]
        wanted = 0.85 + 0.15 * np.where(ended, shades(collected), 0)
        np.testing.assert_allclose(got.reward, wanted, rtol=1e-6)
        assert got.labelled.all()
        np.testing.assert_allclose(metrics["reward/environment"], 1)
        assert metrics["vlm/labelled"].tolist() == [1, 1]

    @pytest.mark.parametrize("frames", ["every", "both"])
    def test_every_second_step_of_a_lane(self, collected, frames):
        got, _ = annotated(source(asker(), 1.0, frames=frames, every=2), collected)
        due = np.zeros(got.reward.shape, bool)
        due[:, 1::2] = True
        if frames == "both":
            due |= np.asarray(collected.terminated | collected.truncated)
        np.testing.assert_allclose(got.reward, np.where(due, shades(collected), 0), rtol=1e-6)

    def test_frames_beyond_the_limit_have_no_label_rather_than_a_zero(self, collected):
        got, metrics = annotated(source(asker(), frames="every", max_frames=5), collected)
        labelled = np.asarray(got.labelled).reshape(2, -1)
        assert labelled.sum(1).tolist() == [5, 5] and labelled[:, :5].all()
        np.testing.assert_allclose(metrics["vlm/labelled"], 5 / PER_UPDATE)

    def test_what_fails_is_masked(self, collected):
        got, metrics = annotated(source(asker(fussy), frames="every"), collected)
        answers = [fussy_of(s) for s in np.asarray(shades(collected)).ravel()]
        fine = np.array([isinstance(a, str) and a[0].isdigit() for a in answers])
        np.testing.assert_array_equal(np.asarray(got.labelled).ravel(), fine)
        assert 0 < fine.sum() < fine.size
        wanted = np.where(fine, 0.85 + 0.15 * np.asarray(shades(collected)).ravel(), 0)
        np.testing.assert_allclose(np.asarray(got.reward).ravel()[fine], wanted[fine], rtol=1e-6)
        refused = np.array([isinstance(a, Refused) for a in answers]).reshape(2, -1).mean(1)
        np.testing.assert_allclose(metrics["vlm/unanswered"], refused, rtol=1e-6)

    def test_an_update_in_which_nothing_ended_calls_nobody(self, collected):
        nothing = jax.tree.map(jnp.zeros_like, (collected.terminated, collected.truncated))
        quiet = collected._replace(terminated=nothing[0], truncated=nothing[1])
        asks = asker()
        reward = source(asks)
        calls = []
        reward.listener.judge.ask = lambda *arguments: calls.append(arguments)
        got, metrics = annotated(reward, at_ends(quiet))
        assert asks.client.batches == [] and calls == []
        np.testing.assert_allclose(got.reward, 0.85)
        assert got.labelled.all() and np.isnan(metrics["reward/vlm"]).all()

    def test_the_prompt_has_the_states_quantities_in_it(self, collected):
        asks = asker(lambda prompt: prompt.turns[-1].text.split()[-1])
        told = rewards.vlm(
            ENV, asks, Question("It is {shade}", needs=("shade",)), Number(), frames="every"
        )
        got, _ = annotated(told, collected)
        np.testing.assert_allclose(got.reward, shades(collected))

    def test_whole_in_make_train_and_refused_under_a_vmap(self):
        asks = asker()
        function = make_train(adder(ENV), 6 * PER_UPDATE, reward=source(asks), num_points=2)
        state, curves = jax.jit(function)(jax.random.key(0), ENV.default_params)
        alone = run(source(asker()), 6, seeds=1)
        np.testing.assert_allclose(state.params["told"], numbers(alone)["told"][0], rtol=1e-4)
        assert curves["reward/vlm"].shape == (2,) and asks.client.batches
        keys = jnp.stack([jax.random.key(0), jax.random.key(1)])
        with pytest.raises(ConfigError, match=r"train\(\.\.\., seeds=N\)"):
            jax.vmap(function, (0, None))(keys, ENV.default_params)


def fussy_of(shade):
    """What `fussy` says of a frame of that shade."""
    said = f"{shade:.4f}"
    return [Refused("no"), "I cannot say", said, said][int(shade) % 4]


class TestRuns:
    def test_alpha_0_is_the_plain_run_bit_for_bit_and_asks_nobody(self):
        asks = asker()
        same(run(source(asks, 0.0)), run(None))
        assert asks.counts.asked == 0

    def test_a_second_run_from_the_store_makes_no_call(self, tmp_path):
        first = asker(fussy, store=tmp_path / "store.sqlite")
        once = run(source(first))
        assert first.counts.calls > 5 and once.notes["vlm"]["calls"] == first.counts.calls
        first.close()
        again = asker(lambda prompt: 1 / 0, store=tmp_path / "store.sqlite")
        # What was refused is an answer too, and is not asked for again.
        twice = run(source(again))
        assert again.counts.calls == 0 and again.counts.cached == again.counts.asked > 0
        same(once, twice)
        again.close()

    @pytest.mark.parametrize(
        "mode",
        [
            dict(),
            pytest.param(dict(mode="lagged", lag=2, wait=True), marks=pytest.mark.slow),
            pytest.param(dict(mode="model", num_labels=12), marks=pytest.mark.slow),
        ],
    )
    def test_resuming_gives_the_numbers_of_not_having_stopped(self, tmp_path, mode):
        if mode.get("mode") == "model":
            mode = mode | dict(round_size=6, train_steps=5, lag=2, wait=True)
        whole = run(source(asker(fussy), **mode), checkpoint_every=PER_UPDATE)

        class Killed(Exception):
            pass

        class Killer:
            def on_start(self, info): ...
            def on_log(self, point):
                if point.update == 7:
                    raise Killed

            def on_checkpoint(self, update, state, point): ...
            def on_end(self, result): ...

        settings = dict(checkpoint_every=PER_UPDATE)
        with pytest.raises(Killed):
            run(
                source(asker(fussy), **mode), out=tmp_path / "run", callbacks=[Killer()], **settings
            )
        resumed = run(source(asker(fussy), **mode), resume=tmp_path / "run", **settings)
        same(whole, resumed)
        assert "vlm" in (tmp_path / "run" / "result.json").read_text()


class TestLagged:
    def test_waiting_delivers_every_label_exactly_so_much_later(self):
        """The sums are those of the exact run once all labels are there."""
        exact = run(source(asker()), 10)
        late = run(source(asker(), mode="lagged", lag=2, wait=True), 10)
        waiting = numbers(exact)["rows"] - numbers(late)["rows"]
        assert (waiting > 0).all()  # of the last two updates
        ages = [p.metrics["vlm/label_age"] for p in late.history]
        assert {float(x) for x in np.ravel(ages) if np.isfinite(x)} == {2.0}
        early = numbers(run(source(asker()), 8))
        judged = early["sum"] - 0.85 * early["rows"]
        wanted = 0.85 * numbers(late)["rows"] + judged
        np.testing.assert_allclose(numbers(late)["sum"], wanted, rtol=1e-5)

    def test_without_waiting_nothing_stands_still(self):
        slow = asker(seconds=0.3)
        result = run(source(slow, mode="lagged", lag=50), 20)
        assert result.train_seconds < 0.3 * len(slow.client.batches) + 3
        slow.close()

    def test_needs_a_replay(self):
        forgetful = adder(ENV, remembers=False)
        with pytest.raises(ConfigError, match=r"mode='callback'.*mode='model'"):
            run(source(asker(), mode="lagged"), algorithm=forgetful)


class TestModel:
    def test_labels_train_what_scores_every_step(self):
        asks = asker()
        reward = source(
            asks, 1.0, mode="model", num_labels=90, round_size=30, train_steps=300, lag=1, wait=True
        )
        result = run(reward, 12)
        assert asks.counts.asked == 90
        last = result.history[-1].metrics
        assert last["vlm/labels"].tolist() == [90, 90]
        assert np.isfinite(last["reward/vlm"]).all()
        first = result.history[0].metrics
        assert np.isnan(first["reward/vlm"]).all()  # no reward before the first training

    @pytest.mark.slow
    def test_pairs_order_states(self):
        from jaxrl.rewards import reward_model

        features = jax.random.uniform(jax.random.key(1), (200, 2, 2))
        better = (features[:, 0, 0] > features[:, 1, 0]).astype(jnp.float32)
        buffer = reward_model.append(
            reward_model.empty(200, 2, 2), features, better, jnp.ones(200, bool), jax.random.key(2)
        )
        ensemble = reward_model.fit(
            reward_model.init(jax.random.key(3), 2), buffer, jax.random.key(4), 300, "pairwise"
        )
        x = jnp.stack([jnp.linspace(0, 1, 11), jnp.full(11, 0.5)], -1)
        scores = reward_model.score(ensemble, x).mean(0)
        assert (jnp.diff(scores) > 0).all()


class TestAlarms:
    def test_a_client_that_always_says_the_same_is_not_learned_from(self):
        said = []
        constant = lambda: asker(lambda prompt: "approximately 45 degrees")  # noqa: E731
        number = lambda: asker(lambda prompt: "45")  # noqa: E731
        run(source(constant(), frames="every", say=said.append), 4)
        assert "hold no value" in " ".join(said) and "approximately 45 degrees" in said[0]
        stopped = run(source(number(), frames="every", alarm="stop", say=said.append), 6)
        assert stopped.stopped_early and len(stopped.history) == 3
        masked = run(source(number(), frames="every", alarm="mask", say=said.append), 6)
        # 24 frames an update for both seeds, each shade counted once a call.
        assert (numbers(masked)["rows"] < 4 * PER_UPDATE).all()
        assert masked.notes["vlm"]["alarms"] == ["constant"]

    def test_a_fatal_error_stops_the_run_after_the_chunk(self):
        wrong = TransportError("401: the key in OPENAI_API_KEY is wrong", 401, fatal=True)
        with pytest.raises(ModelError, match="OPENAI_API_KEY"):
            run(source(asker(lambda prompt: wrong)))

    def test_an_exception_on_the_hosts_side_does_not_pass_through_jax(self):
        with pytest.raises(ModelError, match="asking about frames failed: division"):
            run(source(asker(lambda prompt: str(1 / 0))))


class TestControls:
    @pytest.mark.parametrize("control", ["scaling", "constant:2", "random:-1:1"])
    def test_those_that_ask_nobody(self, collected, control):
        asks = asker()
        got, _ = annotated(source(asks, 0.5, frames="every", control=control), collected)
        assert asks.counts.asked == 0 and got.labelled.all()
        value = np.asarray(got.reward) * 2 - 1
        if control == "random:-1:1":
            assert np.unique(value).size > 20 and np.abs(value).max() <= 1
        else:
            np.testing.assert_allclose(value, 2.0 if control == "constant:2" else 0.0, atol=1e-6)

    def test_shuffled_labels_are_the_models_own_of_other_frames(self, collected):
        got, _ = annotated(source(asker(), 1.0, frames="every", control="shuffled"), collected)
        truth = np.asarray(shades(collected), np.float32)
        assert np.isin(np.asarray(got.reward), truth).all()
        assert (np.asarray(got.reward) != truth).mean() > 0.5


class Undrawn(base.Environment):
    pass


@pytest.mark.parametrize(
    ("settings", "error", "words"),
    [
        (dict(alpha=1.5), ConfigError, "alpha=1.5"),
        (dict(mode="lag"), UnknownNameError, "'lagged'"),
        (dict(frames="ends"), UnknownNameError, "choice of frames"),
        (dict(alarm="shout"), UnknownNameError, "alarm policy"),
        (dict(every=0), ConfigError, "every=0"),
        (dict(lag=0), ConfigError, "lag=0"),
        (dict(size=(0, 10)), ConfigError, "height"),
        (dict(control="shufled"), UnknownNameError, "'shuffled'"),
        (dict(control="constant"), ConfigError, "constant:C"),
        (dict(control="random:1:0"), ConfigError, "LOW not above HIGH"),
        (dict(mode="model", control="scaling"), ConfigError, "asks nobody"),
        (dict(mode="model", labels="pairs"), UnknownNameError, "kind of labels"),
        (dict(mode="model", labels="pairwise"), ConfigError, "picture"),
        (dict(mode="model", num_labels=0), ConfigError, "num_labels=0"),
    ],
)
def test_bad_settings_are_refused(settings, error, words):
    with pytest.raises(error, match=words):
        source(asker(), **settings)


def test_bad_environments_and_prompts_are_refused():
    with pytest.raises(EnvironmentContractError, match=r"no render\(state"):
        rewards.vlm(Undrawn(), asker(), Question(), Number())
    with pytest.raises(UnknownNameError, match=r"did you mean 'shade'"):
        rewards.vlm(ENV, asker(), Question(needs=("shad",)), Number())


def test_a_mixture_reports_both_and_needs_what_either_needs():
    mixed = source(asker(mean_pixel), frames="both")
    assert mixed.needs == "every_step" and "alpha=0.15" in mixed.name
    algorithm = adder(ENV)
    carry = jax.eval_shape(
        lambda k: initial_carry(algorithm, mixed, k[None], ENV.default_params, 1), jax.random.key(0)
    )
    metrics = jax.eval_shape(make_update(algorithm, mixed), carry)[1]
    assert {"reward/environment", "reward/vlm", "vlm/labelled", "vlm/commonest"} <= set(metrics)
