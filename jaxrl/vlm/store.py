"""One SQLite file that is cache, ledger, cassette and the place to resume from.

Four kinds of rows: `prompts` and `images`, each kept once, by the hash of what they are;
`answers`, by the hash of model, sampling and prompt; and a `ledger` of every call, written before
the call is made and brought up to date when it ends. An answer is committed the moment it
arrives, so that a run killed between two answers keeps the first; those that arrive together are
committed together. Only answers are kept for good
(`Ok`, `Refused`): a failure of the network says nothing about the prompt.

The file is in WAL mode: several threads share one `Store`, several processes may each open their
own. A commit outlives the process, however that ends; one made in the last moments before the
machine itself loses power may not.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import sqlite3
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from jaxrl.errors import ConfigError
from jaxrl.vlm import tables
from jaxrl.vlm.budget import Amount
from jaxrl.vlm.client import Sampling
from jaxrl.vlm.messages import Image, Ok, Outcome, Prompt, Refused, Turn


def key_of(model: str, sampling: Sampling, prompt: Prompt) -> str:
    """The name of an answer: SHA-256 of the model, how it was sampled, and the prompt's digest.

    Raises:
        ConfigError: see `keys_of`.
    """
    return keys_of(model, sampling, [prompt])[0]


def keys_of(model: str, sampling: Sampling, prompts: Sequence[Prompt]) -> list[str]:
    """`key_of` each of several prompts to one model.

    Raises:
        ConfigError: `sampling.extra` holds what JSON cannot say, so that equal calls would not
            be seen to be equal.
    """
    settings = vars(sampling) | {"extra": sorted(sampling.extra)}
    try:
        head = json.dumps([model, settings], sort_keys=True)[:-1]
    except TypeError as error:
        raise ConfigError(
            f"sampling.extra={sampling.extra!r} cannot be stored ({error}): "
            "give texts, numbers, lists and dicts"
        ) from error
    # As `json.dumps([model, settings, digest])` would say it.
    texts = [f'{head}, "{prompt.digest}"]' for prompt in prompts]
    return [hashlib.sha256(text.encode()).hexdigest() for text in texts]


@dataclasses.dataclass(frozen=True)
class Record:
    """An answer with all that belongs to it.

    Attributes:
        key: see `key_of`.
        model: who answered.
        prompt: digest of what was asked; `Store.prompt` brings it back.
        outcome: `Ok` or `Refused`.
        seconds: from sending to arriving.
        at: when it arrived, in seconds since 1970.
        dollars: what it cost, or None where nobody knows the price.
    """

    key: str
    model: str
    prompt: str
    outcome: Ok | Refused
    seconds: float
    at: float
    dollars: float | None


class Ending(NamedTuple):
    """How a call of the ledger, by its number, ended, after how many seconds, and what it cost."""

    call: int
    outcome: Outcome
    seconds: float
    cost: Amount


class Store:
    """See the module. Safe to use from several threads; close it when done.

    Attributes:
        path: the file.
    """

    def __init__(self, path: str | Path) -> None:
        """Opens the file, or makes it.

        Raises:
            ConfigError: the file is no store, or of another version of jaxrl.
        """
        self.path = Path(path)
        self._lock = threading.RLock()
        self._db = tables.connect(self.path)

    @contextlib.contextmanager
    def _write(self) -> Iterator[sqlite3.Connection]:
        """One transaction: all of it or nothing, and committed when this returns."""
        with self._lock, tables.transaction(self._db):
            yield self._db

    def _read(self, query: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        with self._lock:
            return self._db.execute(query, values).fetchall()

    def find(self, keys: Iterable[str]) -> dict[str, Ok | Refused]:
        """The answers that are there, by key."""
        query = (
            "SELECT kind, text, input_tokens, output_tokens, complete FROM answers WHERE key = ?"
        )
        found = {}
        for key in keys:
            for kind, *rest in self._read(query, (key,)):
                found[key] = tables.answer(kind, *rest)
        return found

    def sent(
        self, model: str, keys: Sequence[str], prompts: Sequence[Prompt], worst: Sequence[Amount]
    ) -> list[int]:
        """Enters calls that are about to be made; returns their numbers in the ledger.

        `worst` is what each may cost: what counts as spent until it is known, and for ever if
        the process dies before.
        """
        now = time.time()
        rows = [
            (key, model, prompt.digest, now, cost.tokens, cost.dollars)
            for key, prompt, cost in zip(keys, prompts, worst, strict=True)
        ]
        with self._write() as db:
            tables.keep_prompts(db, prompts)
            db.executemany(
                "INSERT INTO ledger (key, model, prompt, at, outcome, detail, tokens, dollars) "
                "VALUES (?, ?, ?, ?, 'sent', '', ?, ?)",
                rows,
            )
            ((last,),) = db.execute("SELECT last_insert_rowid()").fetchall()
        # Nobody else numbers rows during the transaction.
        return list(range(last - len(rows) + 1, last + 1))

    def ended(
        self, call: int, outcome: Outcome, seconds: float, cost: Amount, sampling: Sampling
    ) -> None:
        """As `ended_together`, of one call."""
        self.ended_together([Ending(call, outcome, seconds, cost)], sampling)

    def ended_together(self, endings: Sequence[Ending], sampling: Sampling) -> None:
        """Enters how calls ended and what they cost, and keeps the answers that there are.

        An answer that is already there stays: whoever read it should read it again. All of it is
        written, or nothing.
        """
        # Only the names of extra parameters: nobody knows what their values give away.
        shown = vars(sampling) | {"extra": [name for name, _ in sampling.extra]}
        asked = json.dumps(shown, sort_keys=True)
        now = time.time()
        with self._write() as db:
            db.executemany(
                "UPDATE ledger SET outcome = ?, detail = ?, seconds = ?, tokens = ?, dollars = ? "
                "WHERE call = ?",
                [_entered(ending) for ending in endings],
            )
            db.executemany(
                "INSERT OR IGNORE INTO answers (key, model, sampling, prompt, kind, text, "
                "input_tokens, output_tokens, complete, seconds, at) SELECT key, model, ?, prompt, "
                "?, ?, ?, ?, ?, ?, ? FROM ledger WHERE call = ?",
                [
                    (asked, *_answered(ending.outcome), ending.seconds, now, ending.call)
                    for ending in endings
                    if isinstance(ending.outcome, (Ok, Refused))
                ],
            )

    def spent(self) -> Amount:
        """What all calls in the ledger cost, those of earlier runs included."""
        query = "SELECT SUM(outcome != 'unsent'), SUM(tokens), SUM(dollars) FROM ledger"
        calls, tokens, dollars = self._read(query)[0]
        return Amount(calls or 0, tokens or 0, dollars or 0.0)

    def outcomes(self) -> dict[str, int]:
        """How many calls ended in what; "sent" are those that nobody heard of again."""
        query = "SELECT outcome, COUNT(*) FROM ledger GROUP BY outcome ORDER BY 2 DESC"
        return dict(self._read(query))

    def failures(self, last: int = 10) -> list[tuple[str, str, int]]:
        """What went wrong most often: `(outcome, detail, how often)`."""
        query = (
            "SELECT outcome, detail, COUNT(*) FROM ledger WHERE outcome != 'ok' "
            "GROUP BY outcome, detail ORDER BY 3 DESC LIMIT ?"
        )
        return self._read(query, (last,))  # type: ignore[return-value]

    def answers(self, *, prompt: str | None = None, last: int | None = None) -> list[Record]:
        """Answers from oldest to newest: all, those to one prompt (by digest), or the last few."""
        query = (
            "SELECT key, model, prompt, seconds, at, (SELECT dollars FROM ledger "
            "WHERE ledger.key = answers.key AND outcome = kind ORDER BY call LIMIT 1), kind, text, "
            "input_tokens, output_tokens, complete FROM answers WHERE ? IS NULL OR prompt = ? "
            "ORDER BY at DESC, rowid DESC LIMIT ?"
        )
        rows = self._read(query, (prompt, prompt, -1 if last is None else last))
        return [
            Record(key, model, digest, tables.answer(*rest), seconds, at, dollars)
            for key, model, digest, seconds, at, dollars, *rest in reversed(rows)
        ]

    def prompt(self, digest: str, *, images: bool = True) -> Prompt:
        """What was asked, with its images or without them.

        Raises:
            KeyError: no such prompt.
        """
        query = "SELECT system, turns, schema, sample FROM prompts WHERE digest = ?"
        rows = self._read(query, (digest,))
        if not rows:
            raise KeyError(f"no prompt {digest} in {self.path}")
        system, turns, schema, sample = rows[0]
        return Prompt(
            tuple(
                Turn(role, text, tuple(self.image(name) for name in names if images))
                for role, text, names in json.loads(turns)
            ),
            system,
            None if schema is None else json.loads(schema),
            sample,
        )

    def pictures(self, prompt: str) -> tuple[str, ...]:
        """Hashes of the pictures that go with a prompt, by the prompt's digest."""
        rows = self._read("SELECT turns FROM prompts WHERE digest = ?", (prompt,))
        turns = json.loads(rows[0][0]) if rows else []
        return tuple(name for _, _, names in turns for name in names)

    def image(self, digest: str) -> Image:
        """A picture by its hash.

        Raises:
            KeyError: no such picture.
        """
        rows = self._read("SELECT png FROM images WHERE digest = ?", (digest,))
        if not rows:
            raise KeyError(f"no image {digest} in {self.path}")
        return Image(rows[0][0])

    def close(self) -> None:
        """Closes the file; safe to call twice."""
        with self._lock:
            self._db.close()


def _entered(ending: Ending) -> tuple[Any, ...]:
    """What the ledger is told of a call's end."""
    kind, detail = tables.describe(ending.outcome)
    cost = ending.cost
    return kind, tables.clean(detail), ending.seconds, cost.tokens, cost.dollars, ending.call


def _answered(outcome: Ok | Refused) -> tuple[Any, ...]:
    """Kind, text and tokens of an answer, and whether it is whole."""
    kind, detail = tables.describe(outcome)
    text, whole = (outcome.text, outcome.complete) if isinstance(outcome, Ok) else (detail, True)
    used = outcome.usage
    return kind, tables.clean(text), used.input_tokens, used.output_tokens, whole
