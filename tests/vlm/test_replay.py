"""Answers out of a store, and only out of it."""

import pytest

from jaxrl.errors import ConfigError, UnknownNameError
from jaxrl.vlm.messages import Image, Ok, Prompt, Refused, TransportError, Usage
from jaxrl.vlm.replay import ReplayClient
from jaxrl.vlm.scripted import ScriptedClient
from jaxrl.vlm.specs import client

POLE = Prompt.of("Where does the pole lean?", Image(b"png"))
MOON = Prompt.of("Is it a moon?")


def test_what_was_answered_is_answered_again_and_nothing_else():
    answers = {POLE.digest: Ok("left", Usage(7, 1)), MOON.digest: Refused("no")}
    replay, told = ReplayClient("x.sqlite", answers), []
    prompts = [POLE, Prompt.of("Where does the pole lean?", Image(b"another")), MOON]
    outcomes = replay.ask(prompts, timeout=0, on_outcome=lambda *end: told.append(end))
    assert told == list(enumerate(outcomes))
    assert outcomes[0] == Ok("left", Usage(7, 1)) and outcomes[2] == Refused("no")
    missing = outcomes[1]
    assert isinstance(missing, TransportError) and not missing.fatal
    for part in ("x.sqlite holds no answer", prompts[1].digest[:12], "Where does the pole"):
        assert part in missing.reason
    assert replay.model == "replay:x.sqlite" and "x.sqlite" in repr(replay)
    replay.close()


def test_there_is_no_such_file(tmp_path):
    with pytest.raises(ConfigError, match="there is no such file"):
        client(f"replay:{tmp_path}/none.sqlite")
    assert list(tmp_path.iterdir()) == []


def test_a_store_is_replayed(tmp_path):
    pytest.importorskip("jaxrl.vlm.store")
    from jaxrl.vlm.asker import Asker

    path = tmp_path / "store.sqlite"
    for model in ("scripted", "other"):
        scripted = ScriptedClient(lambda prompt, model=model: f"said {model}", model=model)
        asker = Asker(scripted, store=path)
        assert asker.ask([POLE])[0].outcome == Ok(f"said {model}")
        asker.close()
        if model == "scripted":
            replay = client(f"replay:{path}", max_tokens=3)
            assert replay.ask([POLE], timeout=1) == [Ok("said scripted")]
    with pytest.raises(ConfigError, match="answers of other, scripted; say whose"):
        client(f"replay:{path}")
    (outcome,) = client(f"replay:{path}#other").ask([POLE], timeout=1)
    assert outcome == Ok("said other")
    with pytest.raises(UnknownNameError, match="did you mean 'other'"):
        client(f"replay:{path}#othe")
    Asker(scripted, store=tmp_path / "empty.sqlite").close()
    with pytest.raises(ConfigError, match="holds no answers"):
        client(f"replay:{tmp_path}/empty.sqlite")
