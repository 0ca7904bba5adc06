"""Hostile programs: all refused, quickly and in little memory, and nothing of them runs."""

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
HOSTILE = HERE.parent / "corpus" / "hostile"
SECONDS = 1.0
MEMORY = 2**28


@pytest.fixture(scope="module")
def lot(tmp_path_factory):
    """The folder of a process through which all are sent, and what came of each."""
    folder = tmp_path_factory.mktemp("hostile")
    paths = os.pathsep.join([str(ROOT), str(ROOT / "envs")])
    run = subprocess.run(
        [sys.executable, str(HERE / "hostile_run.py"), str(HOSTILE)],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": paths, "JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert run.returncode == 0, run.stderr
    *programs, end = [json.loads(line) for line in run.stdout.splitlines()]
    return folder, programs, end


def test_the_corpus_is_large():
    assert len(list(HOSTILE.glob("*.py"))) >= 60


def test_all_are_refused_with_a_reason(lot):
    _, programs, _ = lot
    assert len(programs) > len(list(HOSTILE.glob("*.py")))
    accepted = [one for one in programs if one["said"].startswith("ACCEPTED")]
    assert accepted == []
    assert [one for one in programs if ": " not in one["said"]] == []


def test_each_is_refused_in_under_a_second(lot):
    assert [one for one in lot[1] if one["seconds"] > SECONDS] == []


def test_memory_is_bounded(lot):
    assert lot[2]["grown"] < MEMORY


def test_nothing_of_them_runs(lot):
    assert list(lot[0].iterdir()) == []


def test_refusals_are_short(lot):
    assert [one for one in lot[1] if max(map(len, one["said"].splitlines())) > 400] == []


def test_the_package_executes_nothing():
    """No word of Python's that runs text, and none that takes an attribute's name from a value."""
    found = []
    for path in (ROOT / "jaxrl" / "rewards" / "program").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call):
                continue
            called = ast.unparse(node.func).rpartition(".")[2]
            named = called in ("getattr", "setattr") and not isinstance(node.args[1], ast.Constant)
            if named or called in ("eval", "exec", "compile", "__import__", "import_module"):
                found.append(f"{path.name}: {ast.unparse(node)}")
    # Of a node of syntax, whose fields Python itself names.
    assert found == ["canonical.py: getattr(node, name, None)"]
