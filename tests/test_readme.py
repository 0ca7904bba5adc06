"""The README's six lines run, and its commands exist."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


def test_the_six_lines_run(capsys):
    block = re.search(r"```python\n(.*?)```", README, re.DOTALL)[1]
    assert len([line for line in block.splitlines() if line.strip()]) <= 6
    smaller = block.replace("500_000", "2_000").replace("seeds=8", "seeds=2")
    smaller = smaller.replace("num_envs=64", "num_envs=4")
    assert smaller.count("2_000") == smaller.count("seeds=2") == 1
    scope = {}
    exec(smaller, scope)
    assert scope["result"].final.per_seed.shape == (2,)
    assert "rollout.gif" in capsys.readouterr().out


@pytest.mark.parametrize("target", re.findall(r"^make ([a-z-]+)", README, re.MULTILINE))
def test_make_targets_exist(target):
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE)


@pytest.mark.parametrize("link", re.findall(r"\]\(((?!http)[^)]+)\)", README))
def test_links_lead_somewhere(link):
    assert (ROOT / link).exists()
