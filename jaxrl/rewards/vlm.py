"""A vision-language model as a reward: R_v is what its words about a frame are worth.

A frame is drawn from the state that a step led to, put into a prompt, sent to a model, and the
answer is parsed into a value. A frame without an answer, or with one that does not parse, has no
value: its row is not learned from. Three ways for the values to reach the learner:

============  ======================================================================================
`callback`    at the end of each update, for all seeds in one call; exact, and the device waits
`lagged`      asked for now, used up to `lag` updates later; needs a replay (dqn, sac)
`model`       a few hundred labels train a reward model on the device, which scores every step
============  ======================================================================================

`mixture(environment(), vlm(...), alpha)` mixes it with the environment's own reward.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Literal, get_args

import jax
import jax.numpy as jnp
import numpy as np

from jaxrl.errors import ConfigError, check_range, unknown_name
from jaxrl.rewards import alarms, callback, lagged, learned
from jaxrl.rewards.alarms import Policy
from jaxrl.rewards.callback import Spec, VLMState
from jaxrl.rewards.controls import control as control_of
from jaxrl.rewards.frames import Frames, drawing, needs
from jaxrl.rewards.judge import Judge, Template
from jaxrl.rewards.listener import VLMListener
from jaxrl.rewards.reward_model import Labels
from jaxrl.types import EnvParams, Key, RewardSource
from jaxrl.vlm import parsing, prompts
from jaxrl.vlm.asker import Asker
from jaxrl.vlm.messages import Image
from jaxrl.vlm.parsing import Parser

Mode = Literal["callback", "lagged", "model"]


def vlm(
    env: Any,
    asker: Asker,
    prompt: str | Path | Template,
    parser: str | Path | Parser | None = None,
    *,
    given: Mapping[str, Any] | None = None,
    env_params: EnvParams | None = None,
    frames: Frames | None = None,
    every: int = 1,
    mode: Mode = "callback",
    max_frames: int | None = None,
    size: tuple[int, int] = (200, 300),
    alarm: Policy = "warn",
    control: str = "none",
    lag: int = 4,
    wait: bool = False,
    max_waiting: int = 256,
    labels: Labels = "absolute",
    num_labels: int = 400,
    round_size: int = 40,
    train_steps: int = 500,
    folder: str | Path | None = None,
    say: Callable[[str], None] = print,
    begin: Callable[[], None] | None = None,
) -> RewardSource:
    """A reward source that asks a vision-language model.

    Args:
        env: the environment, which must draw itself (`render`).
        asker: who is asked; it is not closed.
        prompt: name or path of a prompt, or a template. It may name the environment's quantities.
        parser: name or path of a parser, or a callable; default the one the prompt is made for.
        given: the prompt's own parameters (a goal, say).
        env_params: parameters of the environment; default its own.
        frames: which steps are judged: `episode_end`, `every` (every `every`-th of a lane) or
            `both`; default `episode_end`, or `every` with `model`.
        every: see `frames`.
        mode: `callback`, `lagged` or `model`; see the module's docstring.
        max_frames: frames per seed and update, the first ones that are due; those beyond have no
            label, and are not learned from. Default all.
        size: height and width of a frame in pixels.
        alarm: what an alarm does: `warn`, `mask` (no further label is used) or `stop`.
        control: a control in the model's place, see `rewards.controls`.
        lag: updates that a label may be late, with `lagged`; that a round takes, with `model` and
            `wait`.
        wait: use labels exactly `lag` updates later: the same numbers every time.
        max_waiting: with `lagged`, without `wait`: questions that may be open at a time; steps
            that are due beyond them have no label.
        labels: with `model`: `absolute` values, or `pairwise` preferences, for which the parser's
            value is the share of the preference that goes to the first frame.
        num_labels: with `model`: questions in all.
        round_size: with `model`: questions sent together.
        train_steps: with `model`: gradient steps after each round.
        folder: where the run's own `vlm/` is to be; None leaves none.
        say: where alarms go.
        begin: called when a run begins, before anything compiles; may refuse it (a probe, say).

    Raises:
        ConfigError: a setting out of range, or settings that do not go together.
        EnvironmentContractError: the environment cannot be drawn.
        JaxrlError: a prompt that names what the environment does not describe, or does not fit.
        UnknownNameError: a name that no table has.
    """
    frames = frames or ("every" if mode == "model" else "episode_end")
    _check(mode, frames, alarm, every=every, max_frames=max_frames, lag=lag)
    chosen = control_of(control)
    params = env.default_params if env_params is None else env_params
    template = prompts.load(prompt) if isinstance(prompt, (str, Path)) else prompt
    reads = parser if callable(parser) else parsing.parser(parser or template.parser)
    judge = Judge(asker, template, reads, given or {})
    draws = drawing(env, params, size, template.needs)
    spec = Spec(draws, judge, chosen, frames, every, max_frames, alarm)
    _try_prompt(env, params, spec, 2 if mode == "model" and labels == "pairwise" else 1)
    described = (
        f"vlm({asker.client.model}, {template.name}, {reads.name}, {frames}, {every}, {mode}"
    )
    source = RewardSource(
        name=described + (")" if control == "none" else f", {control})"),
        init=partial(callback.init, spec),
        annotate=partial(callback.annotate, spec),
        needs=needs(frames),
        listener=VLMListener(judge, alarm, folder, say, begin),
        on_host=True,
    )
    if mode == "lagged" and chosen.asks:
        return _lagged(source, spec, lagged.Settings(lag, wait, max_waiting))
    if mode == "model":
        settings = learned.Settings(labels, num_labels, round_size, train_steps, lag, wait)
        return _learned(source, spec, settings)
    return source


def _check(mode: str, frames: str, alarm: str, **counts: int | None) -> None:
    """Raises what `vlm` says of names that no table has, and of counts below 1."""
    if mode not in get_args(Mode):
        raise unknown_name("mode", mode, get_args(Mode))
    if frames not in get_args(Frames):
        raise unknown_name("choice of frames", frames, get_args(Frames))
    alarms.check_policy(alarm)
    for name, value in counts.items():
        check_range(name, value, 1)


def _lagged(source: RewardSource, spec: Spec, settings: lagged.Settings) -> RewardSource:
    check_range("max_waiting", settings.max_waiting, 1)
    waiting = "waiting" if settings.wait else f"at most {settings.max_waiting} open"
    return source._replace(
        name=f"{source.name[:-1]}, lag {settings.lag}, {waiting})",
        annotate=partial(lagged.annotate, spec, settings),
        prepare=partial(lagged.prepare, spec, settings),
        late_by=settings.lag,
    )


def _learned(source: RewardSource, spec: Spec, settings: learned.Settings) -> RewardSource:
    if settings.labels not in get_args(Labels):
        raise unknown_name("kind of labels", settings.labels, get_args(Labels))
    for name in ("num_labels", "round_size", "steps"):
        check_range(name, getattr(settings, name), 1)
    if spec.control.name != "none" and not spec.control.asks:
        raise ConfigError(
            f"control={spec.control.name!r} asks nobody, so that there is nothing for a reward "
            "model to learn: use it with mode='callback'."
        )

    def init(key: Key) -> VLMState:
        key, key_model = jax.random.split(key)
        return callback.init(spec, key)._replace(more=key_model)

    said = f"{settings.labels}, {settings.num_labels} labels"
    return source._replace(
        name=f"{source.name[:-1]}, {said})",
        init=init,
        annotate=partial(learned.annotate, spec, settings),
        prepare=partial(learned.prepare, spec, settings),
        needs="every_step",
    )


def _try_prompt(env: Any, params: EnvParams, spec: Spec, pictures: int) -> None:
    """Renders the prompt of one start state, so that what is wrong with it shows now."""
    _, state = env.reset_env(jax.random.key(0), params)
    names = {name: np.asarray(x).item() for name, x in spec.drawing.describe(state).items()}
    if spec.judge.template.images != pictures:
        raise ConfigError(
            f"the prompt {spec.judge.template.name!r} is about {spec.judge.template.images} "
            f"picture(s), and here each question has {pictures}: prompts about two are for "
            "mode='model' with labels='pairwise', all others for one."
        )
    frame = np.asarray(spec.drawing.render(state))
    if frame.dtype != jnp.uint8 or frame.ndim != 3:
        raise ConfigError(
            f"{env.name}.render gives {frame.dtype} {frame.shape}, needed is uint8 [H, W, 3]."
        )
    spec.judge.prompt(names, [Image.from_array(frame)] * pictures)
