"""Trains every preset over its seeds and records what it reached.

    python benchmarks/presets.py                  all of them
    python benchmarks/presets.py ppo:CartPole-v1  some; grpo:CartPole-v1:notes is one with a variant

Lines go to `benchmarks/results/presets.jsonl`, curves to `benchmarks/results/`, and the table in
`benchmarks/README.md` is made from them. `jaxrl/presets.py` repeats the outcome.
"""

from __future__ import annotations

import argparse
import json
from datetime import date
from pathlib import Path

import numpy as np
from report import write_report
from throughput import commit

import jaxrl
from jaxrl.algorithms import algorithm_entry
from jaxrl.presets import PRESETS
from jaxrl.run.folder import summarize_result
from jaxrl.run.machine import machine

RESULTS = Path(__file__).parent / "results"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    names = [":".join(key) for key in PRESETS]
    parser.add_argument("presets", nargs="*", default=names, metavar="ALGORITHM:ENVIRONMENT")
    parser.add_argument("--seeds", type=int, help="default: as many as the preset's target names")
    args = parser.parse_args()
    for name in args.presets:
        algorithm, env_name, *variant = name.split(":")
        preset = PRESETS[algorithm, env_name, *variant]
        env, params = jaxrl.make(env_name, **preset.env_settings)
        result = jaxrl.train(
            algorithm_entry(algorithm).build(env, preset.config),
            params,
            total_steps=preset.total_steps,
            seeds=args.seeds or preset.seeds,
            threshold=preset.threshold,
        )
        scores = np.array(result.final.per_seed)
        summary = summarize_result(result)
        row = {
            "algorithm": algorithm,
            "env": env_name,
            "variant": "".join(variant),
            "total_steps": summary["total_steps"],
            "threshold": preset.threshold,
            "threshold_at_best": preset.best,
            "threshold_is_of_mean": preset.needed is None,
            "at_threshold": int(preset.reached_by(scores, result.best).sum()),
            **{key: summary["eval_return"][key] for key in ("per_seed", "iqm", "ci95")},
            "mean": float(scores.mean()),
            "best_per_seed": [float(x) for x in result.best],
            "steps_to_threshold": summary["steps_to_threshold"],
            "train_seconds": result.train_seconds,
            "steps_per_second": result.steps_per_second,
            "date": str(date.today()),
            "commit": commit(),
            "machine": machine(),
        }
        with (RESULTS / "presets.jsonl").open("a") as file:
            file.write(json.dumps(row) + "\n")
        jaxrl.plot(result, path=RESULTS / f"{name.replace(':', '-')}.png")
        print(f"{name}: {row['at_threshold']} of {len(scores)} at {preset.threshold:g}", flush=True)
    write_report()


if __name__ == "__main__":
    main()
