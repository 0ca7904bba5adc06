"""Small line charts as SVG text, for pages that load nothing."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence

import numpy as np

WIDTH, HEIGHT = 360, 180
LEFT, RIGHT, TOP, BOTTOM = 52, 8, 20, 22
COLORS = ("#1f6fb4", "#d1662b", "#2d8a4e", "#8a4fa3", "#b3323c", "#5b6670", "#a3842a", "#2a9a9a")


def chart(
    title: str, x: Sequence[float], lines: Mapping[str, np.ndarray], unit: str = "steps"
) -> str:
    """A chart of lines `[P]`, or of bands `[P, S]` that are drawn as mean, lowest and highest.

    Points that are not finite are left out. `unit` is that of `x`.
    """
    tables = {name: np.atleast_2d(values.T).T for name, values in lines.items()}
    finite = np.concatenate([t[np.isfinite(t)] for t in tables.values()] or [np.zeros(0)])
    if not finite.size:
        return ""
    low, high = float(finite.min()), float(finite.max())
    if high == low:
        low, high = low - 1, high + 1
    first, last = float(x[0]), float(x[-1])

    def at(step: float, value: float) -> str:
        across = (step - first) / max(last - first, 1e-9) * (WIDTH - LEFT - RIGHT) + LEFT
        up = (value - low) / (high - low) * (HEIGHT - TOP - BOTTOM)
        return f"{across:.1f},{HEIGHT - BOTTOM - up:.1f}"

    drawn = [_frame(title, (first, last), (low, high), unit)]
    for index, (name, table) in enumerate(tables.items()):
        color = COLORS[index % len(COLORS)]
        rows = [i for i in range(len(x)) if np.isfinite(table[i]).any()]
        if table.shape[1] > 1:
            edge = [at(x[i], np.nanmax(table[i])) for i in rows]
            edge += [at(x[i], np.nanmin(table[i])) for i in reversed(rows)]
            drawn.append(f'<polygon points="{" ".join(edge)}" fill="{color}" opacity="0.18"/>')
        points = " ".join(at(x[i], np.nanmean(table[i])) for i in rows)
        drawn.append(
            f'<polyline points="{points}" fill="none" stroke="{color}" stroke-width="1.6">'
            f"<title>{html.escape(name)}</title></polyline>"
        )
    return f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}">{"".join(drawn)}</svg>' + (
        _legend(tables) if len(tables) > 1 else ""
    )


def _frame(title: str, x: tuple[float, float], y: tuple[float, float], unit: str) -> str:
    base, top = HEIGHT - BOTTOM, TOP
    return (
        f'<text x="{LEFT}" y="13" font-weight="600">{html.escape(title)}</text>'
        f'<path d="M{LEFT},{top}V{base}H{WIDTH - RIGHT}" fill="none" stroke="#999"/>'
        f'<text x="{LEFT - 4}" y="{base}" text-anchor="end">{_tick(y[0])}</text>'
        f'<text x="{LEFT - 4}" y="{top + 8}" text-anchor="end">{_tick(y[1])}</text>'
        f'<text x="{LEFT}" y="{HEIGHT - 6}">{x[0]:,.0f}</text>'
        f'<text x="{WIDTH - RIGHT}" y="{HEIGHT - 6}" text-anchor="end">{x[1]:,.0f} {unit}</text>'
    )


def _tick(value: float) -> str:
    """A number in the few letters that there is room for."""
    if value == 0 or 1e-3 <= abs(value) < 1e5:
        return f"{value:.4g}" if abs(value) < 1e4 else f"{value:.0f}"
    mantissa, exponent = f"{value:.1e}".split("e")
    return f"{mantissa}e{int(exponent)}"


def _legend(names: Mapping[str, np.ndarray]) -> str:
    items = [
        f'<span style="color:{COLORS[i % len(COLORS)]}">{html.escape(name)}</span>'
        for i, name in enumerate(names)
    ]
    return f'<p class="legend">{" ".join(items)}</p>'
