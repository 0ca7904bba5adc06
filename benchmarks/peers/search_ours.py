"""One reward search with the grammar as its author: a measurement as a line of JSON.

Nothing is kept between processes: what has to be compiled is compiled here, and counted.
"""

import argparse
import json
import time

import jax

import jaxrl
from jaxrl.search import Grammar, Settings, Task, search


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, required=True)
    parser.add_argument("--iterations", type=int, default=7)
    args = parser.parse_args()
    task = Task.of(*jaxrl.make("CartPoleSwing-v0"))
    settings = Settings(iterations=args.iterations, seeds=args.seeds, preflight=False, films=False)
    began, used = time.perf_counter(), time.process_time()
    result = search(task, Grammar(task.schema, 0, task.steps), settings)
    trained = sum(c.curves is not None for i in result.history for c in i.candidates)
    print(
        json.dumps(
            {
                "wall_seconds": time.perf_counter() - began,
                "processor_seconds": time.process_time() - used,
                "seconds": result.seconds,
                "seconds_of_iterations": [i.seconds["all"] for i in result.history],
                "compile_of_iterations": [i.seconds.get("compile") for i in result.history],
                "proposed": args.iterations * settings.candidates,
                "trained": trained,
                "steps": settings.total_steps,
                "held_out": result.held_out,
                "versions": {"jaxrl": jaxrl.__version__, "jax": jax.__version__},
            }
        )
    )


if __name__ == "__main__":
    main()
