"""What a model saw and said, as one HTML file to look through.

Self-contained: pictures and style are inside, no script runs, nothing is loaded. What a model
wrote is shown as text and never as markup. Its size is bounded: the last answers, a sample of the
earlier ones, and figures.
"""

from __future__ import annotations

import contextlib
import statistics
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from jaxrl.vlm import page
from jaxrl.vlm.messages import Ok, Prompt
from jaxrl.vlm.page import pictures, table, text, tiles
from jaxrl.vlm.parsing import Parsed
from jaxrl.vlm.store import Record, Store

Reader = Callable[[str, str], Parsed]
"""`(answer, prompt's text) -> Parsed`: a parser, or the `read` of a prompt's template."""

MEGABYTES = 12
"""Pictures that a page holds at most; the cards after them have none."""
SUMMED = 5_000
"""Answers, the newest, that are read: reading one takes up to a millisecond."""


class _Seen(NamedTuple):
    """An answer with its prompt, and what it was read as; `parsed` None where nobody reads."""

    record: Record
    prompt: Prompt
    parsed: Parsed | None


def write(
    store: Store | str | Path,
    path: str | Path,
    *,
    parser: Reader | None = None,
    title: str = "What the model saw and said",
    last: int = 120,
    sample: int = 120,
) -> Path:
    """Writes the page: figures, rules, prompts, and a card for each answer.

    Args:
        store: whose answers are shown, or its path.
        path: the file to write.
        parser: how answers are read, to show what they were taken to say.
        title: of the page.
        last: how many of the newest answers are shown.
        sample: how many of those before, evenly spread.

    Returns:
        The path.
    """
    if not isinstance(store, Store):
        with contextlib.closing(Store(store)) as opened:
            return write(opened, path, parser=parser, title=title, last=last, sample=sample)
    seen = [_see(store, record, parser) for record in store.answers(last=SUMMED)]
    newest = seen[len(seen) - min(last, len(seen)) :]
    before = _spread(seen[: len(seen) - len(newest)], sample)
    album = _Pictures(store)
    older = store.outcomes().get("ok", 0) > len(seen) == SUMMED
    note = f'<p class="soft">What was said is of the newest {SUMMED} answers.</p>' if older else ""
    parts = [
        _tiles(store, seen),
        note,
        _tables(store, seen),
        _prompts(item.prompt for item in seen),
    ]
    for heading, items in (("Newest", newest[::-1]), ("Earlier, a sample", before[::-1])):
        if items:
            cards = "".join(_card(item, album) for item in items)
            parts.append(f'<h2>{heading}</h2><div class="cards">{cards}</div>')
    return page.write(path, title, parts)


def write_comparison(
    store: Store,
    path: str | Path,
    *,
    parser: Reader | None = None,
    title: str = "The same frames, asked in several ways",
    frames: int = 60,
) -> Path:
    """Writes a page of frames with what each prompt, or each model, made of them underneath.

    Frames that were asked about in one way only are left out; `frames` is how many are shown at
    most, evenly spread. See `write` for the rest.
    """
    ways: dict[tuple[str, str, str], int] = {}
    by_frame: dict[tuple[str, ...], list[_Seen]] = {}
    for record in store.answers(last=SUMMED):
        item = _see(store, record, parser)
        if frame := store.pictures(record.prompt):
            by_frame.setdefault(frame, []).append(item)
    several = [items for items in by_frame.values() if len({_way(item) for item in items}) > 1]
    for items in several:
        for item in items:
            ways.setdefault(_way(item), len(ways) + 1)
    shown, album = _spread(several, frames), _Pictures(store)
    cards = "".join(_comparison(items, ways, album) for items in shown)
    several_models = len({model for model, _, _ in ways}) > 1
    asked = "".join(
        _prompt(system, words, f"{number}", model if several_models else "")
        for (model, system, words), number in ways.items()
    )
    note = f'<p class="soft">{len(shown)} of {len(several)} frames.</p>'
    return page.write(
        path, title, [note, asked, f'<h2>Frames</h2><div class="cards">{cards}</div>']
    )


def text_of(prompt: Prompt) -> str:
    """The words of a prompt: what an answer may repeat of it."""
    return "\n".join([prompt.system, *(turn.text for turn in prompt.turns if turn.role == "user")])


class _Pictures:
    """Pictures as HTML, until there are enough of them."""

    def __init__(self, store: Store) -> None:
        self.store, self.left = store, MEGABYTES * 1_000_000

    def of(self, digest: str) -> str:
        """Those of a prompt, by its digest."""
        images = [self.store.image(name) for name in self.store.pictures(digest)]
        self.left -= sum(len(image.png) * 4 // 3 for image in images)
        return pictures(images) if self.left >= 0 else ""


def _see(store: Store, record: Record, parser: Reader | None) -> _Seen:
    prompt = store.prompt(record.prompt, images=False)
    if parser is None or not isinstance(record.outcome, Ok):
        return _Seen(record, prompt, None)
    return _Seen(record, prompt, parser(record.outcome.text, text_of(prompt)))


def _way(item: _Seen) -> tuple[str, str, str]:
    """Who was asked, and in which words."""
    return item.record.model, item.prompt.system, item.prompt.turns[-1].text


def _spread(items: Sequence, most: int) -> list:
    """At most so many, evenly spread, the first and the last among them."""
    if len(items) <= most:
        return list(items)
    return [items[round(i * (len(items) - 1) / max(most - 1, 1))] for i in range(most)]


def _tiles(store: Store, seen: Sequence[_Seen]) -> str:
    """The figures: calls, answers, tokens, money, time, and what was read."""
    outcomes, spent = store.outcomes(), store.spent()
    figures = [
        (f"{sum(outcomes.values())}", "calls"),
        (f"{outcomes.get('ok', 0)}", "answered"),
        (f"{sum(n for kind, n in outcomes.items() if kind != 'ok')}", "refused or failed"),
        (f"{spent.tokens:,}", "tokens"),
        (f"${spent.dollars or 0:.4f}", "spent, where prices are known"),
    ]
    seconds = sorted(item.record.seconds for item in seen)
    if seconds:
        late = seconds[min(len(seconds) - 1, int(0.95 * len(seconds)))]
        figures.append(
            (f"{statistics.median(seconds):.2f} s", f"median wait, {late:.2f} s at 95 %")
        )
    parsed = [item.parsed for item in seen if item.parsed is not None]
    if parsed:
        failed = sum(not p.ok for p in parsed) / len(parsed)
        figures.append((f"{failed:.0%}", "unparsed"))
    said = Counter(_said(item) for item in seen)
    if said:
        figures.append((f"{said.most_common(1)[0][1] / len(seen):.0%}", "the commonest answer"))
    return tiles(figures)


def _tables(store: Store, seen: Sequence[_Seen]) -> str:
    """How often what: rules, answers, reasons for being unparsed, failures."""
    parsed = [item.parsed for item in seen if item.parsed is not None]
    counted = [
        ("Rules that fired", Counter(rule for p in parsed for rule in p.fired)),
        ("Why answers were unparsed", Counter(p.note for p in parsed if not p.ok)),
        ("Commonest answers", Counter(_said(item) for item in seen)),
        (
            "Calls without an answer",
            Counter({f"{kind} {detail}": n for kind, detail, n in store.failures()}),
        ),
    ]
    shown = [table(name, counts) for name, counts in counted if counts]
    return f'<div class="sides">{"".join(shown)}</div>'


def _prompts(prompts: Iterable[Prompt], most: int = 12) -> str:
    distinct = Counter((prompt.system, prompt.turns[-1].text) for prompt in prompts)
    shown = [_prompt(*words, f"{n} x", "") for words, n in distinct.most_common(most)]
    more = f'<p class="soft">and {len(distinct) - most} more</p>' if len(distinct) > most else ""
    return f"<h2>Prompts</h2>{''.join(shown)}{more}"


def _prompt(system: str, words: str, mark: str, model: str) -> str:
    standing = f"<i>{text(system)}</i>\n" if system else ""
    whom = f"<i>{text(model)}</i>\n" if model else ""
    return (
        f'<div class="prompt"><span class="mark">{mark}</span>{whom}{standing}{text(words)}</div>'
    )


def _card(item: _Seen, album: _Pictures) -> str:
    bad = not isinstance(item.record.outcome, Ok) or (
        item.parsed is not None and not item.parsed.ok
    )
    kind = "bad" if bad else "plain" if item.parsed is None else ""
    frames = album.of(item.record.prompt)
    return f'<div class="card {kind}">{frames}<div class="body">{_answer(item)}</div></div>'


def _comparison(
    items: Sequence[_Seen], ways: dict[tuple[str, str, str], int], album: _Pictures
) -> str:
    asked = "".join(
        f'<div class="asked"><b class="mark">{ways[_way(item)]}</b><div>{_answer(item)}</div></div>'
        for item in sorted(items, key=lambda item: ways[_way(item)])
    )
    frames = album.of(items[0].record.prompt)
    return f'<div class="card plain">{frames}<div class="body">{asked}</div></div>'


def _answer(item: _Seen) -> str:
    """What was said, what it was read as, and what it took."""
    record, parsed = item.record, item.parsed
    said = f'<div class="said">{text(_said(item)) or "<i>nothing</i>"}</div>'
    reading = ""
    if parsed is not None:
        value = f"{parsed.value:.3g}" if parsed.ok else "unparsed"
        if parsed.ok and parsed.reading != parsed.value:
            value = f"{parsed.reading:.3g} → {value}"
        chips = "".join(f'<span class="chip">{text(rule, 80)}</span>' for rule in parsed.fired)
        note = f'<span class="soft">{text(parsed.note, 200)}</span>' if parsed.note else ""
        mood = "value" if parsed.ok else "value bad"
        reading = f'<div class="line"><span class="{mood}">{value}</span>{chips}{note}</div>'
    used = record.outcome.usage
    took = [
        f"{record.seconds:.2f} s",
        f"{used.input_tokens} + {used.output_tokens} tokens",
        "" if record.dollars is None else f"${record.dollars:.5f}",
        "cut off at max_tokens" if not getattr(record.outcome, "complete", True) else "",
        time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(record.at)),
    ]
    return f'{said}{reading}<div class="small">{" · ".join(filter(None, took))}</div>'


def _said(item: _Seen) -> str:
    outcome = item.record.outcome
    return outcome.text if isinstance(outcome, Ok) else f"refused: {outcome.reason}"
