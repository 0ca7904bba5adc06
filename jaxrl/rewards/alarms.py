"""Alarms about a model's answers: signs that it is not looking, before anything is learned from it.

A model that always says the same, answers that no parser understands, and rules that never fire
look like a reward from afar. The tally behind the alarms is part of the reward's state, so that a
resumed run raises them where the uninterrupted one would have. Answers are counted in `BUCKETS` by
a hash of their text: two that share one count as the same, which matters only to models that say
hundreds of different things, and those are not the ones an alarm is for.

=============  =================================================================================
`constant`     more than 80 % of the answers are the same
`unparsed`     more than half of the answers hold no value
`silent`       no rule of the parser has fired yet (parsers with rules)
=============  =================================================================================

Each needs `ENOUGH` answers.
"""

from __future__ import annotations

from typing import Literal, NamedTuple, get_args

import jax.numpy as jnp

from jaxrl.errors import unknown_name
from jaxrl.types import Array

Policy = Literal["warn", "mask", "stop"]
"""What an alarm does: only say so, use no further label, or end the run."""

KINDS = ("constant", "unparsed", "silent")
BUCKETS = 256
ENOUGH = 50
SAME = 0.8
UNPARSED = 0.5


class Tally(NamedTuple):
    """What has been answered in a run so far.

    Attributes:
        texts: answers by a hash of their text, int32 `[BUCKETS]`.
        unparsed: answers without a value, int32.
        fired: answers in which each rule fired, int32 `[R]`.
    """

    texts: Array
    unparsed: Array
    fired: Array


def check_policy(policy: str) -> None:
    """Raises `UnknownNameError` for what is no policy."""
    if policy not in get_args(Policy):
        raise unknown_name("alarm policy", policy, get_args(Policy))


def empty(num_rules: int) -> Tally:
    """A tally of nothing."""
    zero = jnp.int32(0)
    return Tally(jnp.zeros(BUCKETS, jnp.int32), zero, jnp.zeros(num_rules, jnp.int32))


def count(tally: Tally, bucket: Array, parsed: Array, fired: Array, counts: Array) -> Tally:
    """The tally with more answers.

    Args:
        tally: those before.
        bucket: int32 `[N]`, in `[0, BUCKETS)`.
        parsed: bool `[N]`, whether the answer held a value.
        fired: bool `[N, R]`.
        counts: bool `[N]`, False on rows that are no answer, or one that is counted already.
    """
    return Tally(
        tally.texts.at[bucket].add(counts.astype(jnp.int32)),
        tally.unparsed + (counts & ~parsed).sum(dtype=jnp.int32),
        tally.fired + (fired & counts[:, None]).sum(0, dtype=jnp.int32),
    )


def commonest(tally: Tally) -> Array:
    """Share of the commonest answer; 0 of none."""
    return tally.texts.max() / jnp.maximum(tally.texts.sum(), 1)


def entropy(tally: Tally) -> Array:
    """Entropy of the answers in nats: 0 where all are the same, at most `log(BUCKETS)`."""
    share = tally.texts / jnp.maximum(tally.texts.sum(), 1)
    return -jnp.where(share > 0, share * jnp.log(jnp.where(share > 0, share, 1.0)), 0.0).sum()


def raised(tally: Tally) -> dict[str, Array]:
    """Which alarms ring, bool by `KINDS`."""
    answers = tally.texts.sum()
    enough = answers >= ENOUGH
    silent = (tally.fired.sum() == 0) if tally.fired.size else jnp.bool_(False)
    return {
        "constant": enough & (commonest(tally) > SAME),
        "unparsed": enough & (tally.unparsed > UNPARSED * answers),
        "silent": enough & silent,
    }


def any_raised(tally: Tally) -> Array:
    """Whether any alarm rings."""
    return jnp.stack(list(raised(tally).values())).any()


MEANING = {
    "constant": f"more than {SAME:.0%} of the model's answers are the same",
    "unparsed": f"more than {UNPARSED:.0%} of the model's answers hold no value",
    "silent": "not one of the parser's rules has fired yet",
}
