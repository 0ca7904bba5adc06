"""`jaxrl …` with its seconds told apart: the arguments are the command's, the last line is JSON.

What is timed is the command itself in its own process; listening to jax's own events costs nothing
that could be measured. Times are seconds since the epoch, so that whoever started the process can
place them.
"""

import time

STARTED = time.time()

import json  # noqa: E402
import sys  # noqa: E402
from typing import Any  # noqa: E402

TRACE = ("jaxpr_trace_duration", "jaxpr_to_mlir_module_duration")
COMPILE = ("backend_compile_duration",)


def main() -> None:
    # Everything the command imports before it looks at its arguments.
    import jaxrl.commands.train  # noqa: F401

    imported = time.time()
    import jax

    from jaxrl.cli import main as command

    spans: dict[str, list[tuple[float, float]]] = {"trace": [], "compile": []}

    def heard(event: str, seconds: float, **_: Any) -> None:
        now, name = time.time(), event.rpartition("/")[2]
        for kind, names in (("trace", TRACE), ("compile", COMPILE)):
            if name in names:
                spans[kind].append((now - seconds, now))

    jax.monitoring.register_event_duration_secs_listener(heard)
    status = command(sys.argv[1:])
    print(json.dumps({"started": STARTED, "imported": imported, "spans": spans}))
    sys.exit(status)


if __name__ == "__main__":
    main()
