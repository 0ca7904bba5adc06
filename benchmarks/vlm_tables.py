"""The tables of what a model in the loop costs."""

from __future__ import annotations

import statistics
from typing import Any

from tables import about


def vlm_agent(rows: list[dict[str, Any]]) -> str:
    """The last run: a step's time and decisions per second by what is shown and how many lanes."""
    last = [row for row in rows if row["run"] == rows[-1]["run"]]
    lines = [
        about(last[0]),
        "",
        "| asked by | shown | lanes | a step, ms | times one lane's | decisions/s "
        "| steps measured |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for row in last:
        frame = f", {row['height']} × {row['width']}" if row["observe"] == "both" else ""
        shown = {"text": "the text", "both": "the text and the frame"}[row["observe"]]
        lines.append(
            f"| {row['client']} | {shown}{frame} | {row['lanes']} "
            f"| {1000 * row['seconds_per_step']:.0f} | {row['times_one_lane']:.2f} "
            f"| {row['decisions_per_second']:.0f} | {row['steps_measured']} |"
        )
    return "\n".join(lines)


def overhead(rows: list[dict[str, Any]]) -> str:
    """The last run: what each way of asking a model takes, beside the run without one."""
    last = [row for row in rows if row["run"] == rows[-1]["run"]]

    def each(way: str, field: str) -> list[float]:
        return [row[field] for row in last if row["way"] == way]

    none = each("none", "seconds")
    first = last[0]
    steps = first["updates"] * first["num_envs"] * first["num_steps"]
    lines = [
        about(first),
        f"{first['num_envs']} environments, {steps:,} steps, {first['latency'] * 1000:.0f} ms a "
        f"call, {first['concurrency']} calls at once, {first['rounds']} rounds.",
        "",
        "| way | seconds | waiting for answers | times the run without a model "
        "| times that run and the waiting | calls | judged steps with a label |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for way in dict.fromkeys(row["way"] for row in last):
        seconds, waited = each(way, "seconds"), each(way, "waited")
        # Within a round, where the machine was as busy for both.
        bare = [s / n for s, n in zip(seconds, none, strict=False)]
        least = [s / (n + w) for s, n, w in zip(seconds, none, waited, strict=False)]
        labelled = [x for x in each(way, "labelled") if x is not None]
        lines.append(
            f"| {way} | {statistics.median(seconds):,.1f} | {statistics.median(waited):,.1f} "
            f"| {statistics.median(bare):.2f} | {statistics.median(least):.2f} "
            f"| {statistics.median(each(way, 'calls')):,.0f} "
            f"| {format(statistics.median(labelled), '.0%') if labelled else '–'} |"
        )
    scaled = {row["way"]: row["trained"] for row in last if row["trained"] != row["updates"]}
    if scaled:
        those = ", ".join(f"`{way}` {trained}" for way, trained in scaled.items())
        lines += ["", f"Of {first['updates']} updates {those} were run, and the figures scaled."]
    return "\n".join(lines)
