"""What docs/vlm_store.md shows works as it says."""

import re
from pathlib import Path

import numpy as np
import pytest

from jaxrl.vlm import parsing, prompts

PAGE = (Path(__file__).parents[2] / "docs" / "vlm_store.md").read_text()


def block(language):
    return re.search(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)[1]


def test_its_program_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    scope = {"frame": np.zeros((4, 6, 3), np.uint8)}
    exec(block("python"), scope)
    reading, value, ok = capsys.readouterr().out.split()
    said = re.search(r"# (-7\.0) degrees, worth ([\d.]+)…, (True)", PAGE)
    assert (reading, ok) == (said[1], said[3]) and value.startswith(said[2])
    assert (tmp_path / "vlm" / "captions.html").exists()


def test_its_prompt_can_be_loaded(tmp_path):
    path = tmp_path / "mine.jinja"
    path.write_text(block("jinja"))
    template = prompts.load(path)
    text = template.render(place="snow", y_velocity=-1.25).text
    assert text == "The lander over the snow falls with 1.2 m/s. Where is it?"
    assert template.read("The lander is inside the flags, stable").value == 3.5


@pytest.mark.parametrize("name", [*prompts.names(), *parsing.names()])
def test_it_names_all_that_is_shipped(name):
    assert f"`{name}`" in PAGE


def test_it_says_truly_what_the_papers_third_prompt_is_worth():
    text = prompts.load("paper_lander_landing").render().text
    assert str(parsing.parser("paper_lander")(text).value) in PAGE
