"""What an agent saw, said and did, for reading: a page, and a line for each decision.

`decisions.jsonl` has every decision, by the key under which the store holds prompt, frame and
answer. `episode.html` shows those of one episode with everything in it, and needs nothing else:
pictures are inside, no script runs, and what a model said is text and never markup.
"""

from __future__ import annotations

import base64
import html
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jaxrl.agents.deciding import Decision
from jaxrl.agents.examples import IMAGE_HEAD

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 70rem; margin: 2rem auto; padding: 0 1rem; }
article { display: grid; grid-template-columns: minmax(12rem, 1fr) 2fr; gap: 1rem;
  border-top: 1px solid #ccc; padding: 1rem 0; }
img { max-width: 100%; border: 1px solid #ddd; }
pre { white-space: pre-wrap; background: #f6f6f6; padding: .6rem; margin: .3rem 0; }
figure { margin: 0 0 .6rem; } figcaption, small { color: #555; font-size: 13px; }
.bad { color: #a00; }
"""


def write_decisions(decisions: Sequence[Decision], path: Path) -> Path:
    """One JSON line for each decision."""
    with path.open("w", encoding="utf-8") as file:
        for decision in decisions:
            file.write(json.dumps(record(decision), ensure_ascii=False) + "\n")
    return path


def record(decision: Decision) -> dict[str, Any]:
    """A decision as plain data; prompt and frames are in the store under `keys`."""
    tokens_in, tokens_out = decision.tokens
    return {
        "episode": decision.lane,
        "step": decision.time,
        "action": decision.action,
        "said": decision.said,
        "problem": decision.problem,
        "fallback": decision.fallback,
        "copied": decision.copied,
        "seconds": round(decision.seconds, 4),
        "cached": all(answer.cached for answer in decision.answers),
        "input_tokens": tokens_in,
        "output_tokens": tokens_out,
        "dollars": decision.dollars,
        "keys": [answer.key for answer in decision.answers],
    }


def write_page(decisions: Sequence[Decision], path: Path, title: str) -> Path:
    """The decisions of one episode as a page on its own."""
    parts = [
        "<!doctype html><html lang='en'><head><meta charset='utf-8'>",
        '<meta http-equiv="Content-Security-Policy" '
        "content=\"default-src 'none'; img-src data:; style-src 'unsafe-inline'\">",
        f"<title>{html.escape(title)}</title><style>{_STYLE}</style></head><body>",
        f"<h1>{html.escape(title)}</h1>",
    ]
    if decisions:
        system = html.escape(decisions[0].prompt.system)
        parts.append(f"<details><summary>Instructions</summary><pre>{system}</pre></details>")
    parts += [_article(decision) for decision in decisions]
    path.write_text("\n".join([*parts, "</body></html>"]), encoding="utf-8")
    return path


def _article(decision: Decision) -> str:
    turn = decision.prompt.turns[-1]
    titles = [line for line in turn.text.splitlines() if line.startswith(IMAGE_HEAD)]
    pictures = "".join(
        f"<figure><img alt='' src='data:image/png;base64,{base64.b64encode(image.png).decode()}'>"
        f"<figcaption>{html.escape(title)}</figcaption></figure>"
        for title, image in zip(titles, turn.images, strict=True)
    )
    said = "".join(f"<pre>{html.escape(text)}</pre>" for text in decision.said)
    notes = [f"{decision.seconds:.2f} s", "{} + {} tokens".format(*decision.tokens)]
    notes += [] if decision.dollars is None else [f"${decision.dollars:.4f}"]
    notes += ["from the store"] if all(a.cached for a in decision.answers) else []
    problem = ""
    if decision.invalid:
        outcome = "fell back" if decision.fallback else "mended"
        reason = f": {decision.problem}" if decision.problem else ""
        problem = f"<p class='bad'>invalid, {outcome}{html.escape(reason)}</p>"
    return (
        f"<article id='step-{decision.time}'>"
        f"<div><h2>Step {decision.time}</h2>{pictures}</div><div>"
        f"<details><summary>Prompt</summary><pre>{html.escape(turn.text)}</pre></details>"
        f"{said}{problem}<p><b>{html.escape(decision.action)}</b></p>"
        f"<small>{html.escape(', '.join(notes))}</small></div></article>"
    )
