"""What a prompt looks like to a local model: its processor's template, or a form of its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from jaxrl.errors import ConfigError
from jaxrl.vlm.messages import Prompt


def pictures(prompt: Prompt) -> int:
    """How many images a prompt holds, in all its turns."""
    return sum(len(turn.images) for turn in prompt.turns)


def writer(name: str, processor: Any, kind: str) -> Callable[[Prompt], str]:
    """How a conversation is written for a model: by its template, or by its kind's fixed form.

    Raises:
        ConfigError: neither is known.
    """
    if getattr(processor, "chat_template", None):
        return _by_template(processor)
    if kind == "blip-2":
        return _question_answer
    if kind == "llava":
        return lambda prompt: _user_assistant(prompt, processor.image_token)
    raise ConfigError(
        f"{name} (a {kind}) has no chat template, so that nobody knows how to write a prompt for "
        "it: give a model whose processor has one, or BLIP-2 or LLaVA"
    )


def _by_template(processor: Any) -> Callable[[Prompt], str]:
    from jinja2.exceptions import TemplateError

    def write(prompt: Prompt, system_turn: bool = True) -> str:
        messages: list[dict[str, Any]] = []
        for turn in prompt.turns:
            parts = [{"type": "image"}] * len(turn.images) + [{"type": "text", "text": turn.text}]
            messages.append({"role": turn.role, "content": parts})
        if prompt.system and system_turn:
            system = {"type": "text", "text": prompt.system}
            messages.insert(0, {"role": "system", "content": [system]})
        elif prompt.system:
            messages[0]["content"][-1]["text"] = f"{prompt.system}\n\n{prompt.turns[0].text}"
        return processor.apply_chat_template(messages, add_generation_prompt=True)

    try:
        write(Prompt.of("?", system="Answer."))
    except TemplateError:  # it knows no system turn
        return lambda prompt: write(prompt, system_turn=False)
    return write


def _question_answer(prompt: Prompt) -> str:
    """As BLIP-2 was shown questions (Li et al. 2023, section 4.2); its picture comes before all."""
    if pictures(prompt) != 1:
        raise ValueError(f"BLIP-2 looks at one picture a prompt, given are {pictures(prompt)}")
    words = {"user": "Question", "assistant": "Answer"}
    lines = [prompt.system] if prompt.system else []
    lines += [f"{words[turn.role]}: {turn.text.strip()}" for turn in prompt.turns]
    return " ".join([*lines, "Answer:"])


def _user_assistant(prompt: Prompt, image_token: str) -> str:
    """As LLaVA-1.5 was shown conversations, for checkpoints without a template."""
    lines = [prompt.system] if prompt.system else []
    for turn in prompt.turns:
        pictures = f"{image_token}\n" * len(turn.images)
        lines.append(f"{turn.role.upper()}: {pictures}{turn.text}")
    return " ".join([*lines, "ASSISTANT:"])
