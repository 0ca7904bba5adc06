"""Sends hostile programs through the compiler in a process of bounded memory, and reports.

    python hostile_run.py FOLDER

Writes a line of JSON for each program, its name, what came of it and the seconds of CPU that it
took, and at the end one with the growth of the process's memory in bytes.
"""

import json
import resource
import sys
import time
from pathlib import Path

from jaxrl.environment import make
from jaxrl.errors import ProgramError
from jaxrl.rewards.program import compile_program, schema_of

HEAD = "def reward(state, action, next_state):\n"
MORE_MEMORY = 2**30


def bombs():
    """Programs that are too large to be kept as files."""
    value = "state['pole_angle']"
    yield "parentheses", f"{HEAD}    return {'(' * 9000}1{')' * 9000}"
    yield "parentheses_open", f"{HEAD}    return {'(' * 90}"
    yield "brackets_mixed", f"{HEAD}    return {'{[(' * 60}1"
    yield "braces_backtracking", f"{HEAD}    return {'{' * 22}:{'}' * 22}"
    yield "brackets_backtracking", f"{HEAD}    return {'({[' * 7}x for{')]}' * 7}"
    yield "calls_backtracking", f"{HEAD}    return {'f(a=' * 22}:{')' * 22}"
    yield "lambda_backtracking", f"{HEAD}    return {'lambda: (' * 20}:{')' * 20}"
    yield "minus_signs", f"{HEAD}    return {'-' * 19000}1"
    yield "minus_signs_in_bounds", f"{HEAD}    return {'-' * 1400}1"
    yield "nots", f"{HEAD}    return {'not ' * 4000}1"
    yield "powers", f"{HEAD}    return {'2**' * 700}2"
    yield "ternaries", f"{HEAD}    return {'1 if 1 else ' * 300}1"
    yield "sums", f"{HEAD}    return {'1+' * 9000}1"
    yield "sums_in_bounds", f"{HEAD}    return {'1+' * 700}1"
    yield "attributes", f"{HEAD}    return state{'.a' * 700}"
    yield "indentation", HEAD + "".join(f"{' ' * i}if 1:\n" for i in range(1, 90))
    yield "elifs", f"{HEAD}    if 1:\n        x = 1\n" + "    elif 1:\n        x = 1\n" * 200
    yield "statements", HEAD + "    x = 1\n" * 1800 + "    return x"
    yield "characters", HEAD + "    return 1" + " " * 10**6
    yield "comment", f"#{'x' * 10**7}\n{HEAD}    return 1"
    yield "digits", f"{HEAD}    return {'9' * 15000}"
    yield "digits_binary", f"{HEAD}    return 0b{'1' * 15000}"
    yield "string", f"{HEAD}    return 1.0, {{'{'x' * 9000}': 1.0}}"
    yield "null_byte", f"{HEAD}    return 1.0\0"
    yield "escape_byte", f"{HEAD}    return 1.0  # \x1b[2J"
    yield "surrogate", f"{HEAD}    return 1.0, {{'\ud800': 1.0}}"
    yield "bidirectional", f"{HEAD}    return 1.0, {{'a\u202eb': 1.0}}"
    yield "empty", ""
    yield "backslash", HEAD + "    return 1 + \\"
    yield "operations", HEAD + f"    x = {value}\n" + "    x = x + x * x\n" * 600 + "    return x"
    yield "returns", HEAD + f"    if {value} > 1:\n        return 1.0\n" * 300 + "    return 0.0"
    yield "arguments", f"{HEAD}    return max({'1,' * 600}1)"
    yield "default_chain", f"{HEAD}    def f({','.join(f'a{i}=1' for i in range(400))}): return 1\n"
    yield "long_name", f"{HEAD}    return {'x' * 15000}"
    yield "many_unknown", HEAD + "    lambda: 1\n" * 900


def main(folder):
    schema = schema_of(*make("CartPole-v1"))
    compile_program(f"{HEAD}    return abs(state['pole_angle'])", schema)  # JAX wakes up
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    bound = pages * resource.getpagesize() + MORE_MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (bound, bound))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    files = [(path.stem, path.read_text()) for path in sorted(Path(folder).glob("*.py"))]
    for name, source in [*files, *bombs()]:
        start = time.process_time()
        try:
            said = f"ACCEPTED as {compile_program(source, schema).id}"
        except ProgramError as error:
            said = str(error)
        line = {"name": name, "said": said, "seconds": time.process_time() - start}
        print(json.dumps(line), flush=True)
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(json.dumps({"grown": (after - before) * 1024}))


if __name__ == "__main__":
    main(sys.argv[1])
