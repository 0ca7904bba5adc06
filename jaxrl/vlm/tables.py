"""The tables of a store, how its file is opened, and its rows as outcomes."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path

from jaxrl.errors import ConfigError
from jaxrl.vlm.messages import Ok, Outcome, Prompt, Refused, TimedOut, TransportError, Usage

FORMAT = "1"
"""Version of the tables. Another one is refused: its rows might mean something else."""

TABLES = """
CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS images (digest TEXT PRIMARY KEY, png BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS prompts (
    digest TEXT PRIMARY KEY, system TEXT NOT NULL, turns TEXT NOT NULL, schema TEXT,
    sample INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS answers (
    key TEXT PRIMARY KEY, model TEXT NOT NULL, sampling TEXT NOT NULL, prompt TEXT NOT NULL,
    kind TEXT NOT NULL, text TEXT NOT NULL, input_tokens INTEGER NOT NULL,
    output_tokens INTEGER NOT NULL, seconds REAL NOT NULL, at REAL NOT NULL,
    complete INTEGER NOT NULL);
CREATE INDEX IF NOT EXISTS answers_of_prompt ON answers (prompt);
CREATE TABLE IF NOT EXISTS ledger (
    call INTEGER PRIMARY KEY AUTOINCREMENT, key TEXT NOT NULL, model TEXT NOT NULL,
    prompt TEXT NOT NULL, at REAL NOT NULL, outcome TEXT NOT NULL, detail TEXT NOT NULL,
    seconds REAL, tokens INTEGER NOT NULL, dollars REAL);
CREATE INDEX IF NOT EXISTS calls_of_key ON ledger (key);
"""


def connect(path: Path) -> sqlite3.Connection:
    """Opens a store's file, or makes it. The connection may be used from any one thread at a time.

    Raises:
        ConfigError: the file is no store, or of another version of jaxrl.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        db = sqlite3.connect(path, timeout=30, isolation_level=None, check_same_thread=False)
    except (OSError, sqlite3.Error) as error:
        raise _unusable(path, error) from error
    try:
        _prepare(path, db)
    except sqlite3.Error as error:
        db.close()
        raise _unusable(path, error) from error
    except ConfigError:
        db.close()
        raise
    return db


@contextlib.contextmanager
def transaction(db: sqlite3.Connection) -> Iterator[None]:
    """All of what is done inside, or nothing of it."""
    with db:
        db.execute("BEGIN IMMEDIATE")
        yield


def keep_prompts(db: sqlite3.Connection, prompts: Sequence[Prompt]) -> None:
    """Enters prompts and their images, those that are not there yet."""
    images: dict[str, bytes] = {}
    rows = []
    for prompt in prompts:
        turns = []
        for turn in prompt.turns:
            images |= {image.digest: image.png for image in turn.images}
            turns.append([turn.role, turn.text, [image.digest for image in turn.images]])
        schema = None if prompt.schema is None else json.dumps(prompt.schema)
        system = clean(prompt.system)
        rows.append((prompt.digest, system, json.dumps(turns), schema, prompt.sample))
    db.executemany("INSERT OR IGNORE INTO images VALUES (?, ?)", images.items())
    db.executemany("INSERT OR IGNORE INTO prompts VALUES (?, ?, ?, ?, ?)", rows)


def describe(outcome: Outcome) -> tuple[str, str]:
    """An outcome as a kind and a detail.

    Kinds are "ok", "refused", "transport", "timeout", "unsent" (it timed out before it was sent)
    and "budget".
    """
    if isinstance(outcome, Ok):
        return "ok", ""
    if isinstance(outcome, Refused):
        return "refused", outcome.reason
    if isinstance(outcome, TimedOut):
        return "timeout" if outcome.sent else "unsent", f"after {outcome.seconds:.1f} s"
    if isinstance(outcome, TransportError):
        status = "" if outcome.status is None else f"{outcome.status}: "
        return "transport", status + outcome.reason
    return "budget", outcome.reason


def answer(
    kind: str, text: str, input_tokens: int, output_tokens: int, complete: int
) -> Ok | Refused:
    """A row of `answers` as what it was."""
    usage = Usage(input_tokens, output_tokens)
    return Ok(text, usage, bool(complete)) if kind == "ok" else Refused(text, usage)


def clean(text: str) -> str:
    """The text as SQLite can hold it: half a surrogate pair, which JSON may bring, becomes "?"."""
    return text.encode(errors="replace").decode()


def _prepare(path: Path, db: sqlite3.Connection) -> None:
    """Makes the tables of a new file, and refuses what is not ours to write to."""
    names = {name for (name,) in db.execute("SELECT name FROM sqlite_master")}
    if names and "meta" not in names:
        raise ConfigError(f"{path} is a database but no store of answers: give another path")
    db.execute("PRAGMA journal_mode=WAL")
    # In WAL mode a commit then outlives the process, though perhaps not a loss of power.
    db.execute("PRAGMA synchronous=NORMAL")
    # Pages (16 MB) after which a commit waits for the disk. By default it does at every third batch
    # of 64 answers.
    db.execute("PRAGMA wal_autocheckpoint=4000")
    if not names:
        with transaction(db):
            for statement in TABLES.split(";"):
                db.execute(statement)
            db.execute("INSERT OR IGNORE INTO meta VALUES ('format', ?)", (FORMAT,))
    found = dict(db.execute("SELECT name, value FROM meta")).get("format")
    if found != FORMAT:
        raise ConfigError(
            f"{path} is a store of format {found}, this jaxrl reads format {FORMAT}: open it with "
            "the jaxrl that wrote it, or give another path and pay for its answers anew"
        )


def _unusable(path: Path, error: Exception) -> ConfigError:
    return ConfigError(f"{path} cannot be used as a store of answers ({error}): give another path")
