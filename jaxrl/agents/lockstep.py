"""Whole episodes side by side: steps on the device, decisions in one batch for all lanes.

Every lane plays the episode that `evaluate` would let it play: the same start, and at each of its
steps the same randomness. Lanes do not depend on each other, so one that has a plan goes on while
others wait, and the model is asked when all that are still running have nothing left to do. Those
that have ended ask nothing.
"""

from __future__ import annotations

import collections
import dataclasses
import itertools
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxrl.agents.aids import pictures
from jaxrl.agents.deciding import Decider, Decision
from jaxrl.agents.device import Device, batch_sizes, build, candidates
from jaxrl.agents.plans import Plan
from jaxrl.agents.prompting import Deed, Prospect, Sight
from jaxrl.evaluation import Episodes, step_keys
from jaxrl.types import EnvParams, EnvState, Key
from jaxrl.vlm.messages import Image

PAINTERS = min(4, os.cpu_count() or 1)
"""Threads that pack pictures; beside the packing itself they take turns."""


class Played(NamedTuple):
    """What came of playing.

    Attributes:
        episodes: returns, lengths and whether they ended, numpy `[E]`.
        terminated: whether they ended by the environment's rules, bool `[E]`.
        last: quantities that the episodes ended with, name to `[E]`.
        decisions: all of them, in the order in which they were made.
        filmed: environment states of the first lane, its start included; empty if not asked for.
    """

    episodes: Episodes
    terminated: np.ndarray
    last: Mapping[str, np.ndarray]
    decisions: list[Decision]
    filmed: list[EnvState]


@dataclasses.dataclass
class Lane:
    """What the host remembers of an episode."""

    number: int
    plan: Plan = dataclasses.field(default_factory=Plan)
    time: int = 0
    total: np.float32 = np.float32(0)  # noqa: RUF009  # numpy's numbers do not change
    terminated: bool = False
    finished: bool = False
    over: bool = False
    deeds: collections.deque[Deed] = dataclasses.field(default_factory=collections.deque)
    strip: collections.deque[tuple[int, Image]] = dataclasses.field(
        default_factory=collections.deque
    )


@dataclasses.dataclass
class Moment:
    """Where all lanes are: their states, and their quantities there and on the host."""

    states: EnvState
    quantities: Mapping[str, Any]
    known: Mapping[str, np.ndarray]

    def of(self, lane: int) -> dict[str, Any]:
        """The quantities of one lane as plain numbers; those that are arrays are left out."""
        return {name: x[lane].item() for name, x in self.known.items() if np.ndim(x) == 1}


class Lockstep:
    """Plays an agent's episodes in one environment."""

    def __init__(self, env: Any, params: EnvParams, decider: Decider) -> None:
        """`decider` holds the world and the settings."""
        self.env, self.params, self.decider = env, params, decider
        self.world, self.config = decider.prompter.world, decider.config
        self._built: dict[int, Device] = {}
        self._rules: dict[str, Callable[..., Any]] = {}
        self._pool = ThreadPoolExecutor(PAINTERS, "png")

    def play(
        self,
        key: Key,
        num_episodes: int,
        max_steps: int,
        *,
        film: bool = False,
        told: Callable[[int], None] | None = None,
    ) -> Played:
        """Plays `num_episodes` whole episodes, of at most `max_steps` each.

        `told` hears after every decision how many of them are under way.
        """
        key_start, keys = jax.jit(step_keys, static_argnums=1)(key, max_steps)
        if num_episodes not in self._built:
            parts = (self.env, self.params, self.world, self.config, num_episodes)
            self._built[num_episodes] = build(*parts)
        device = self._built[num_episodes]
        moment = _moment(device, device.start(key_start))
        lanes = [Lane(number) for number in range(num_episodes)]
        for lane in lanes:
            lane.deeds = collections.deque(maxlen=self.config.history)
            lane.strip = collections.deque(maxlen=self.config.strip - 1)
        decisions: list[Decision] = []
        filmed = [device.pick(moment.states, 0)] if film else []
        while running := [lane for lane in lanes if not lane.over]:
            moving = [lane for lane in running if not lane.plan.done]
            if not moving:
                decisions += self._decide(device, running, moment, keys)
                if told is not None:
                    told(len(running))
                moving = running
            moment = self._advance(device, moving, moment, keys, num_episodes)
            if film and lanes[0] in moving:
                filmed.append(device.pick(moment.states, 0))
        return Played(
            Episodes(
                np.array([lane.total for lane in lanes]),
                np.array([lane.time for lane in lanes], np.int32),
                np.array([lane.finished for lane in lanes]),
            ),
            np.array([lane.terminated for lane in lanes]),
            moment.known,
            decisions,
            filmed,
        )

    def _advance(
        self, device: Device, moving: Sequence[Lane], moment: Moment, keys: Key, count: int
    ) -> Moment:
        """One step of the lanes that move."""
        actions = np.stack([np.asarray(self.decider.idle)] * count)
        by_rule: dict[str, Any] = {}
        for lane in moving:
            rule = lane.plan.rule
            action = lane.plan.take()
            if rule is not None:
                if rule.id not in by_rule:
                    by_rule[rule.id] = np.asarray(self._rule(rule)(moment.quantities))
                action = by_rule[rule.id][lane.number]
            actions[lane.number] = action
        times, moves = np.zeros(count, np.int32), np.zeros(count, bool)
        for lane in moving:
            times[lane.number], moves[lane.number] = lane.time, True
        states, *outcome = device.step(moment.states, actions, keys, times, moves)
        after = _moment(device, states)
        rewards, terminated, truncated = jax.device_get(outcome)
        limit = keys.shape[0]
        for lane in moving:
            i = lane.number
            if "history" in self.config.aids:
                name = self.world.actions.say(actions[i])
                lane.deeds.append(Deed(lane.time, name, moment.of(i), after.of(i)))
            lane.time += 1
            lane.total += rewards[i]
            lane.terminated = bool(terminated[i])
            lane.finished = bool(terminated[i] | truncated[i])
            lane.over = lane.finished or lane.time >= limit
        return after

    def _rule(self, rule: Any) -> Callable[..., Any]:
        """The rule for all lanes, compiled once however often a model says it."""
        if rule.id not in self._rules:
            names = rule.schema.names

            def act(quantities: Mapping[str, Any]) -> Any:
                return jax.vmap(rule)({name: quantities[name] for name in names})

            self._rules[rule.id] = jax.jit(act)
        return self._rules[rule.id]

    def _decide(
        self, device: Device, running: Sequence[Lane], moment: Moment, keys: Key
    ) -> list[Decision]:
        """Asks for all lanes at once, and gives each its plan."""
        images = self._images(device, running, moment)
        prospects = self._prospects(device, running, moment, keys)
        sights = [
            (
                lane.number,
                Sight(
                    time=lane.time,
                    quantities=moment.of(lane.number),
                    images=images.get(lane.number, ()),
                    deeds=tuple(lane.deeds),
                    prospects=prospects.get(lane.number, ()),
                ),
            )
            for lane in running
        ]
        decided = self.decider.decide(sights)
        for lane, (_, plan) in zip(running, decided, strict=True):
            lane.plan = plan
        return [decision for decision, _ in decided]

    def _images(
        self, device: Device, running: Sequence[Lane], moment: Moment
    ) -> dict[int, list[tuple[str, Image]]]:
        """The pictures of each lane; with a strip, frames of earlier decisions first."""
        if "frame" not in self.config.shown:
            return {}
        numbers = [lane.number for lane in running]
        most = len(next(iter(jax.tree.leaves(moment.states))))
        size = next(size for size in batch_sizes(most) if size >= len(numbers))
        frames = np.asarray(device.draw(moment.states, np.resize(numbers, size)))

        def look(share: range) -> list[list[tuple[str, Image]]]:
            # A share and not a lane at a time: changing over takes as long as a small picture.
            shown = [
                pictures(frames[i], moment.of(numbers[i]), self.world, self.config) for i in share
            ]
            return [[(what, Image.from_array(p)) for what, p in lane] for lane in shown]

        size = -(-len(numbers) // PAINTERS)
        shares = [range(len(numbers))[at : at + size] for at in range(0, len(numbers), size)]
        found = {}
        looked = itertools.chain.from_iterable(self._pool.map(look, shares))
        for lane, shown in zip(running, looked, strict=True):
            earlier = []
            if "strip" in self.config.aids:
                earlier = [
                    (f"the frame after {time} steps, {lane.time - time} ago", image)
                    for time, image in lane.strip
                ]
                lane.strip.append((lane.time, shown[0][1]))
                shown[0] = (f"the frame now, after {lane.time} steps", shown[0][1])
            found[lane.number] = earlier + shown
        return found

    def _prospects(
        self, device: Device, running: Sequence[Lane], moment: Moment, keys: Key
    ) -> dict[int, list[Prospect]]:
        """What each action would lead to, in each lane."""
        if "lookahead" not in self.config.aids:
            return {}
        times = np.zeros(len(next(iter(jax.tree.leaves(moment.states)))), np.int32)
        for lane in running:
            times[lane.number] = lane.time
        _, names = candidates(self.world.actions)
        ahead, reward, ends = jax.device_get(device.ahead(moment.states, keys, times))
        scalars = {name: x for name, x in ahead.items() if np.ndim(x) == 2}

        def prospect(i: int, c: int) -> Prospect:
            after = {name: x[i, c].item() for name, x in scalars.items()}
            return Prospect(names[c], after, float(reward[i, c]), bool(ends[i, c]))

        return {
            lane.number: [prospect(lane.number, c) for c in range(len(names))] for lane in running
        }


def _moment(device: Device, states: EnvState) -> Moment:
    quantities = device.look(states)
    return Moment(states, quantities, jax.device_get(quantities))
