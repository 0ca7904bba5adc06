"""Measuring a contestant: what becomes of a process that fails or does not end."""

import sys

import pytest
from throughput import measure

SCRIPT = """
import pathlib, sys, time
begun = pathlib.Path(sys.argv[1])
times = len(begun.read_text()) if begun.exists() else 0
begun.write_text("x" * (times + 1))
if times < int(sys.argv[2]):
    time.sleep(600)
print('{"rate": 1}')
"""


def _command(folder, hangs):
    return [sys.executable, "-c", SCRIPT, str(folder / "begun"), str(hangs)]


def test_a_process_that_hangs_is_begun_anew_and_told(tmp_path, capsys):
    assert measure(_command(tmp_path, 0), limit=60) == {"rate": 1}
    assert not capsys.readouterr().out
    (tmp_path / "begun").unlink()
    assert measure(_command(tmp_path, 1), limit=3) == {"rate": 1, "hung": 1}
    assert "not done in 3 s, and killed" in capsys.readouterr().out


def test_one_that_always_hangs_or_fails_ends_the_run(tmp_path):
    with pytest.raises(SystemExit, match=r"was not done in 0\.1 s, 2 times"):
        measure(_command(tmp_path, 9), limit=0.1, tries=2)
    with pytest.raises(SystemExit, match="NameError"):
        measure([sys.executable, "-c", "nothing"], limit=60)
