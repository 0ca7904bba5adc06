"""The parts of a page that loads nothing and runs nothing: text, pictures, tables, the frame."""

from __future__ import annotations

import base64
import html
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from jaxrl.vlm.messages import Image

LONGEST = 2000
"""Characters of a text that are shown."""


def text(text: str, longest: int = LONGEST) -> str:
    """Text as text: whatever a model wrote, it is no markup."""
    return html.escape(text if len(text) <= longest else text[:longest] + "…")


def pictures(images: Iterable[Image]) -> str:
    """Pictures side by side; "" for none."""
    data = [base64.b64encode(image.png).decode() for image in images]
    shown = "".join(f'<img alt="" src="data:image/png;base64,{code}">' for code in data)
    return f'<div class="frames">{shown}</div>' if shown else ""


def tiles(figures: Sequence[tuple[str, str]]) -> str:
    """Figures, each with what it is."""
    cells = "".join(f'<div class="tile"><b>{b}</b><span>{s}</span></div>' for b, s in figures)
    return f'<div class="tiles">{cells}</div>'


def table(name: str, counts: Counter[str], rows: int = 8) -> str:
    """How often what, the most frequent first."""
    total = max(counts.values())
    lines = "".join(
        f'<tr><td>{text(what, 160)}</td><td class="n">{n}</td>'
        f'<td class="n"><meter max="{total}" value="{n}"></meter></td></tr>'
        for what, n in counts.most_common(rows)
    )
    more = f'<p class="soft">and {len(counts) - rows} more</p>' if len(counts) > rows else ""
    return f"<section><h2>{name}</h2><table>{lines}</table>{more}</section>"


def write(path: str | Path, title: str, parts: Iterable[str]) -> Path:
    """Writes a page, and the folder that it is to be in."""
    style = (Path(__file__).parent / "captions.css").read_text()
    page = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        # No script, no request: should markup ever slip through, it can do nothing.
        '<meta http-equiv="Content-Security-Policy" '
        "content=\"default-src 'none'; img-src data:; style-src 'unsafe-inline'\">"
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{text(title)}</title><style>{style}</style></head>"
        f"<body><h1>{text(title)}</h1>{''.join(parts)}</body></html>\n"
    )
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(page.encode(errors="replace"))
    return path
