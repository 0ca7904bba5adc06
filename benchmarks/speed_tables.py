"""The tables of what bounds the speed: time to solve, share of the peak, scaling."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from typing import Any

from tables import about

PARTS = ("imports", "trace", "compile", "train", "rest")
"""What `time_to_solve.py` tells apart."""


def time_to_solve(rows: list[dict[str, Any]]) -> str:
    """The last run: medians over rounds, and where the seconds went."""
    last = [row for row in rows if row["run"] == rows[-1]["run"]]
    lines = [
        about(last[0]),
        "",
        "| contestant | seeds | cache | seconds | " + " | ".join(PARTS) + " | steps | rounds |",
        "| --- | ---: | --- | ---: |" + " ---: |" * (len(PARTS) + 2),
    ]
    for kind in dict.fromkeys((row["contestant"], row["seeds"], row["cache"]) for row in last):
        here = [row for row in last if (row["contestant"], row["seeds"], row["cache"]) == kind]
        cells = [
            f"{statistics.median(row[part] for row in here):.1f}" if part in here[0] else "–"
            for part in ("seconds", *PARTS)
        ]
        steps = statistics.median(row["steps"] for row in here)
        lines.append(
            f"| {kind[0]} | {kind[1]} | {kind[2]} | {' | '.join(cells)} | {steps:,.0f} "
            f"| {len(here)} |"
        )
    return "\n".join(lines)


def shares(step: Mapping[str, Any], peak: Mapping[str, Any]) -> dict[str, float]:
    """The part of a step's time that each bound alone would take at the machine's peak."""
    return {
        "operations": step["flops"] / peak["flops_per_second"] / step["seconds"],
        "bytes": step["bytes"] / peak["bytes_per_second"] / step["seconds"],
        "kernels": step["kernels"] * peak["seconds_per_kernel"] / step["seconds"],
    }


def roofline(rows: list[dict[str, Any]]) -> str:
    """The last run: the machine's peaks, and the share of each bound in every step's time."""
    last = [row for row in rows if row["run"] == rows[-1]["run"]]
    peak = next(row for row in last if row["kind"] == "machine")
    lines = [
        about(peak),
        f"Peaks: {peak['flops_per_second'] / 1e9:,.0f} GFLOP/s in a product of float32 matrices of "
        f"{peak['product_size']}, {peak['bytes_per_second'] / 1e9:,.1f} GB/s read and written in a "
        f"copy of {peak['copy_bytes'] / 2**20:,.0f} MiB, "
        f"{peak['seconds_per_kernel'] * 1e6:.2f} µs for a kernel that does next to nothing.",
        "",
        "| step | environments | seeds | ms | MFLOP | of it products | MB | kernels "
        "| % of the time: operations | bytes | kernels | most by |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | --- |",
    ]
    for row in last:
        if row["kind"] == "machine":
            continue
        share = shares(row, peak)
        of_products = row["product_flops"] / row["flops"] if row["flops"] else 0.0
        percents = " | ".join(f"{100 * part:.1f}" for part in share.values())
        lines.append(
            f"| {row['step']} | {row['num_envs']:,} | {row['seeds']} | {1e3 * row['seconds']:,.2f} "
            f"| {row['flops'] / 1e6:,.1f} | {of_products:.0%} | {row['bytes'] / 1e6:,.1f} "
            f"| {row['kernels']:,.0f} | {percents} | {max(share, key=lambda name: share[name])} |"
        )
    return "\n".join(lines)


def scaling(rows: list[dict[str, Any]]) -> str:
    """The last run: steps per second along each axis, and what was left out and why."""
    last = [row for row in rows if row["run"] == rows[-1]["run"]]
    lines = [about(last[0])]
    for axis in dict.fromkeys(row["axis"] for row in last):
        lines += [
            "",
            f"| {axis} | environments | seeds | devices | steps/s, all together | times the first "
            "| memory MB | compile s |",
            "| ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
        ]
        here = [row for row in last if row["axis"] == axis]
        first = next((row["rate"] for row in here if "rate" in row), None)
        for row in here:
            size = f"| {row[axis]:,} | {row['num_envs']:,} | {row['seeds']:,} | {row['devices']} "
            if "rate" in row:
                lines.append(
                    f"{size}| {row['rate']:,.0f} | {row['rate'] / first:.2f} "
                    f"| {row['memory_bytes'] / 1e6:,.0f} | {row['compile_seconds']:.1f} |"
                )
            else:
                lines.append(f"{size}| left out: {row['left_out']} | – | – | – |")
    lines += ["", "![Steps per second of PPO against its sizes](results/scaling.png)"]
    return "\n".join(lines)
