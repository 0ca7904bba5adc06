"""Makes the tables of `benchmarks/README.md` from the lines in `benchmarks/results/`."""

from __future__ import annotations

import json
import statistics
from pathlib import Path
from typing import Any

from speed_tables import roofline, scaling, time_to_solve
from tables import about as _about
from tables import where as _where
from vlm_tables import overhead, vlm_agent

from jaxrl.stats import iqm

HERE = Path(__file__).parent
START, END = "<!-- {}: start -->", "<!-- {}: end -->"


def write_report() -> None:
    """Rewrites every table; text between them stays."""
    path = HERE / "README.md"
    text = path.read_text()
    for name, table in TABLES.items():
        rows = _lines(HERE / "results" / f"{name}.jsonl")
        before, _, rest = text.partition(START.format(name))
        _, _, after = rest.partition(END.format(name))
        body = table(rows) if rows else "Not measured yet."
        text = f"{before}{START.format(name)}\n{body}\n{END.format(name)}{after}"
    path.write_text(text)


def throughput(rows: list[dict[str, Any]]) -> str:
    """Each algorithm's last run: medians over processes, and how many times each peer's speed."""
    tables = []
    # Lines of before other algorithms were measured are PPO's.
    rows = [{"algorithm": "ppo", "seeds": 1, "buffer_size": 0} | row for row in rows]
    for algorithm in dict.fromkeys(row["algorithm"] for row in rows):
        own = [row for row in rows if row["algorithm"] == algorithm]
        last = [row for row in own if row["run"] == own[-1]["run"]]
        tables.append(_throughput_of(algorithm, last))
    return "\n\n".join(tables)


def _throughput_of(algorithm: str, rows: list[dict[str, Any]]) -> str:
    lines = [
        f"**{algorithm.upper()}.** {_about(rows[0])}",
        "",
        "| environments | seeds | buffer | contestant | steps/s | ours is, times | compile s "
        "| peak MB | return at the end |",
        "| ---: | ---: | ---: | --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    sizes = dict.fromkeys((row["num_envs"], row["seeds"], row["buffer_size"]) for row in rows)
    for size in sizes:
        here = [r for r in rows if (r["num_envs"], r["seeds"], r["buffer_size"]) == size]
        ours = _median(here, "jaxrl", "steps_per_second")
        for name in dict.fromkeys(row["contestant"] for row in here):
            speed = _median(here, name, "steps_per_second")
            ratio = "–" if name == "jaxrl" else f"{ours / speed:.2f}"
            lines.append(
                f"| {size[0]} | {size[1]} | {size[2] or '–'} | {name} | {speed:,.0f} | {ratio} "
                f"| {_median(here, name, 'compile_seconds'):.1f} "
                f"| {_median(here, name, 'peak_memory_bytes') / 1e6:,.0f} "
                f"| {_median(here, name, 'last_return'):.0f} |"
            )
    return "\n".join(lines)


def presets(rows: list[dict[str, Any]]) -> str:
    """The last measurement of every preset."""
    last = {(row["algorithm"], row["env"], row.get("variant", "")): row for row in rows}
    machines = "; ".join(dict.fromkeys(map(_where, last.values())))
    lines = [
        f"{machines}; each row is a run of its own.",
        "",
        "| algorithm | environment | steps | seeds | at the threshold | IQM [95 % interval] "
        "| mean | lowest seed | best evaluation, mean | train s | measured |",
        "| --- | --- | ---: | ---: | --- | --- | ---: | ---: | ---: | ---: | --- |",
    ]
    for (algorithm, env, variant), row in last.items():
        interval = "[{:.1f}, {:.1f}]".format(*row["ci95"]) if row["ci95"] else "(one seed)"
        mean = statistics.mean(row["per_seed"])
        # Lines of before it was recorded have none.
        best = f"{statistics.mean(row['best_per_seed']):.1f}" if "best_per_seed" in row else "–"
        lines.append(
            f"| {algorithm} {variant}".rstrip()
            + f" | {env} | {row['total_steps']:,} | {len(row['per_seed'])} "
            f"| {_asked(row, mean)} | {row['iqm']:.1f} {interval} | {mean:.1f} "
            f"| {min(row['per_seed']):.1f} | {best} "
            f"| {row['train_seconds']:.0f} | {row['date']} at `{row['commit']}` |"
        )
    return "\n".join(lines)


def _asked(row: dict[str, Any], mean: float) -> str:
    """What was asked of a preset, beside what there was of it."""
    asked = f"{row['threshold']:g}"
    if row.get("threshold_is_of_mean"):
        return f"mean {mean:.1f}, asked {asked}"
    if row.get("threshold_at_best") is not None:
        asked += f", {row['threshold_at_best']:g} at best"
    return f"{row['at_threshold']} of {len(row['per_seed'])} ≥ {asked}"


def story(rows: list[dict[str, Any]]) -> str:
    """Where each chapter of the notes' story ended, and how noisy its gradient is."""
    ends = [
        "| environment | algorithm | return after the run, IQM of seeds | lowest seed | train s |",
        "| --- | --- | ---: | ---: | ---: |",
    ]
    noises = [
        "| environment | estimator | variance | episodes until noise = signal |",
        "| --- | --- | ---: | ---: |",
    ]
    for row in rows:
        label = row["label"].replace("\n", " ")
        if row["kind"] == "curve":
            last = row["values"][-1]
            ends.append(
                f"| {row['env']} | {label} | {iqm(last):.1f} | {min(last):.1f} "
                f"| {row['train_seconds']:.0f} |"
            )
        else:
            ratio = row["noise_to_signal"]
            noises.append(
                f"| {row['env']} | {label} | {row['variance']:,.3g} "
                f"| {'–' if ratio is None else format(ratio, ',.1f')} |"
            )
    return "\n".join([_about(rows[0]), "", *ends, "", *noises])


def story_lines() -> list[dict[str, Any]]:
    """What `the_story.py` measured last."""
    return _lines(HERE / "results" / "the_story.jsonl")


def transfer(rows: list[dict[str, Any]]) -> str:
    """The last measurement of every environment and seed."""
    last = {(row["env"], row["seed"]): row for row in rows}
    lines = [
        _about(rows[-1]),
        "",
        "| environment | seed | steps | return in `fast` | in `exact` | in Gymnasium's "
        "| lowest there | at least 200 | train s, all seeds | processor s, with compiling |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for (env, seed), row in last.items():
        # Lines of before it was recorded have none.
        processor = f"{row['processor_seconds']:.0f}" if "processor_seconds" in row else "–"
        lines.append(
            f"| {env} | {seed} | {row['total_steps']:,} | {row['fast']:.1f} "
            f"| {row['exact']:.1f} | {row['mean']:.1f} | {row['min']:.1f} "
            f"| {row['solved']:.0%} | {row['train_seconds']:.0f} | {processor} |"
        )
    return "\n".join(lines)


def pilot(rows: list[dict[str, Any]]) -> str:
    """The last measurement in every world."""
    last = {row["world"]: row for row in rows}
    lines = [
        _about(rows[-1]),
        "",
        "| flown in | episodes | mean return | landed | mean steps | same outcome "
        "| difference, paired |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for world, row in last.items():
        compared = "– | –"
        if "difference" in row:
            compared = (
                f"{row['same_outcome']:.1%} "
                f"| {row['difference']:+.1f} ± {row['standard_error']:.1f}"
            )
        lines.append(
            f"| {world} | {row['episodes']} | {row['mean']:.1f} | {row['landed']:.1%} "
            f"| {row['mean_length']:.0f} | {compared} |"
        )
    return "\n".join(lines)


def speed(rows: list[dict[str, Any]]) -> str:
    """The last measurement of every solver and size."""
    last = {(row["solver"], row["num_envs"]): row for row in rows}
    lines = [
        _about(rows[-1]),
        "",
        "| solver | environments | steps/s | steps per second of processor | compile s "
        "| of processor |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for (solver, num_envs), row in last.items():
        lines.append(
            f"| {solver} | {num_envs} | {row['steps_per_second']:,.0f} "
            f"| {row['steps_per_processor_second']:,.0f} | {row['compile_seconds']:.0f} "
            f"| {row['compile_processor_seconds']:.0f} |"
        )
    return "\n".join(lines)


def environments(rows: list[dict[str, Any]]) -> str:
    """The last run: steps per second by the number of environments, then pictures per second."""
    last = [row for row in rows if row["run"] == rows[-1]["run"]]
    steps = [row for row in last if row["kind"] == "steps"]
    sizes = sorted({row["num_envs"] for row in steps})
    lines = [
        _about(last[0]),
        "",
        "| steps/s of | by | " + " | ".join(f"{size:,}" for size in sizes) + " |",
        "| --- | --- | " + " | ".join("---:" for _ in sizes) + " |",
    ]
    for env, by in dict.fromkeys((row["env"], row["by"]) for row in steps):
        found = {
            row["num_envs"]: row["rate"] for row in steps if (row["env"], row["by"]) == (env, by)
        }
        cells = (f"{found[size]:,.0f}" if size in found else "–" for size in sizes)
        lines.append(f"| {env} | {by} | " + " | ".join(cells) + " |")
    lines += ["", "| pictures/s of | size | jaxrl | Gymnasium |", "| --- | --- | ---: | ---: |"]
    frames = {(row["env"], row["by"]): row for row in last if row["kind"] == "frames"}
    for env, by in frames:
        if by != "jaxrl":
            continue
        ours, theirs = frames[env, by], frames.get((env, "gymnasium"))
        other = f"{theirs['rate']:,.0f}" if theirs else "–"
        lines.append(
            f"| {env} | {ours['height']} × {ours['width']} | {ours['rate']:,.0f} | {other} |"
        )
    return "\n".join(lines)


def _median(rows: list[dict[str, Any]], name: str, field: str) -> float:
    values = [row[field] for row in rows if row["contestant"] == name]
    return statistics.median(
        statistics.median(value) if isinstance(value, list) else value for value in values
    )


def _lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def reward_search(rows: list[dict[str, Any]]) -> str:
    """The last measurement of the speed, and of what the grammar reaches."""
    timed = [row for row in rows if row["kind"] == "speed"]
    timed = [row for row in timed if row["run"] == timed[-1]["run"]]
    lines = []
    if timed:
        sb3 = next(row for row in timed if row["contestant"] == "sb3")
        lines += [
            _about(timed[0]),
            "",
            "| contestant | seeds | seconds | processor s | compile s | times SB3, by the clock "
            "| by the processor |",
            "| --- | ---: | ---: | ---: | ---: | ---: | ---: |",
        ]
        for row in timed:
            compiled = row.get("seconds", {}).get("compile")
            ratios = [sb3[key] * row["seeds"] / row[key] for key in TIMES]
            lines.append(
                f"| {row['contestant']} | {row['seeds']} | {row['wall_seconds']:,.0f} "
                f"| {row['processor_seconds']:,.0f} "
                f"| {'–' if compiled is None else format(compiled, '.1f')} "
                f"| {ratios[0]:.0f} | {ratios[1]:.0f} |"
            )
    reached = [row for row in rows if row["kind"] == "fitness"]
    if reached:
        row = reached[-1]
        shown = ", ".join("–" if x is None else f"{x:,.0f}" for x in row["held_out"])
        median = statistics.median(x or 0.0 for x in row["held_out"])
        own = [sum(x) / len(x) for x in row["preflight"]]
        lines += [
            "",
            f"The grammar, {len(row['held_out'])} searches of {row['seeds']} seeds: held-out "
            f"fitness of the winners {shown}, median {median:,.0f}; PPO on the environment's own "
            f"reward {sum(own) / len(own):,.0f}. Measured {row['date']} at `{row['commit']}`.",
        ]
    return "\n".join(lines)


TIMES = ("wall_seconds", "processor_seconds")

TABLES = {
    "throughput": throughput,
    "time_to_solve": time_to_solve,
    "roofline": roofline,
    "scaling": scaling,
    "presets": presets,
    "the_story": story,
    "environments": environments,
    "transfer": transfer,
    "lunar_lander_pilot": pilot,
    "lunar_lander_speed": speed,
    "reward_search": reward_search,
    "vlm_agent": vlm_agent,
    "vlm_overhead": overhead,
}
"""Name of a file in `results/`, and of a table in the README, to what makes one of the other."""


if __name__ == "__main__":
    write_report()
