"""A prompt's file, read and filled in."""

from __future__ import annotations

import dataclasses
import hashlib
import tomllib
from collections.abc import Collection, Mapping
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from jaxrl.errors import ConfigError, missing_extra, unknown_name
from jaxrl.vlm.messages import Image, Prompt
from jaxrl.vlm.parsing import Parsed, Parser, parser

FOLDER = Path(__file__).parent / "files"
SUFFIX = ".jinja"
FENCE = "+++"


class Text(NamedTuple):
    """A prompt's words, filled in."""

    system: str
    text: str


@dataclasses.dataclass(frozen=True)
class Example:
    """An answer that a model might give, and what it is to be read as; None for nothing."""

    answer: str
    reading: float | None


@dataclasses.dataclass(frozen=True)
class Template:
    """What is asked, before it is filled in.

    Attributes:
        name: the file's.
        digest: SHA-256 of the file: another wording is another experiment.
        description: one line for people.
        parser: name or path of the parser that the prompt is made for.
        needs: quantities of `env.describe()` that the prompt is about or names.
        truth: the quantity that what is read should go along with; "-" before it where it should
            go against it (a score falls with the distance); "" where there is none.
        parameters: what whoever renders it has to give, with what it is.
        images: how many pictures go with it.
        system, text: templates.
        examples: answers, so that prompt and parser are tested together.
    """

    name: str
    digest: str
    description: str
    parser: str
    needs: tuple[str, ...]
    truth: str
    parameters: Mapping[str, str]
    images: int
    system: str
    text: str
    examples: tuple[Example, ...]

    def check(self, known: Collection[str]) -> None:
        """Sees to it that every quantity of the prompt is one that an environment describes.

        Raises:
            UnknownNameError: one is not; the error has the nearest names.
        """
        for name in self.needs:
            if name not in known:
                hint = (
                    f"The prompt {self.name!r} is about it, and the environment must describe it."
                )
                raise unknown_name("quantity", name, known, hint)

    def render(self, **given: Any) -> Text:
        """System text and text, with parameters and quantities in their places.

        Raises:
            ConfigError: a name of the template is not given, or one is given that it does not have.
        """
        surplus = set(given) - set(self.parameters) - set(self.needs)
        if surplus:
            takes = ", ".join([*self.parameters, *self.needs]) or "no names"
            raise ConfigError(
                f"prompt {self.name!r} has no {', '.join(sorted(surplus))}: it takes {takes}"
            )
        missing = [name for name in self.parameters if not given.get(name)]
        if missing:
            wanted = ", ".join(f"{name} ({self.parameters[name]})" for name in missing)
            raise ConfigError(f"prompt {self.name!r} needs {wanted}")
        return Text(self._filled(self.system, given), self._filled(self.text, given))

    def prompt(self, *images: Image, sample: int = 0, **given: Any) -> Prompt:
        """The prompt that is sent: filled in, with its pictures and its parser's schema.

        Raises:
            ConfigError: see `render`; or another number of pictures than it asks about.
        """
        if len(images) != self.images:
            raise ConfigError(f"prompt {self.name!r} takes {self.images} images, not {len(images)}")
        system, text = self.render(**given)
        return Prompt.of(text, *images, system=system, schema=self.reader.schema, sample=sample)

    def read(self, answer: str, prompt_text: str = "") -> Parsed:
        """What the prompt's own parser makes of an answer."""
        return self.reader(answer, prompt_text)

    @cached_property
    def reader(self) -> Parser:
        """The parser itself."""
        return parser(self.parser)

    def _filled(self, source: str, given: Mapping[str, Any]) -> str:
        import jinja2

        try:
            return _compiled(source).render(given).strip()
        except jinja2.UndefinedError as error:
            raise ConfigError(f"prompt {self.name!r}: {error}; give it a value") from error
        except jinja2.TemplateError as error:
            raise ConfigError(f"prompt {self.name!r}: {error}") from error


def names() -> list[str]:
    """The prompts that are shipped."""
    return sorted(path.stem for path in FOLDER.glob(f"*{SUFFIX}"))


def load(name_or_path: str | Path) -> Template:
    """A prompt by the name of a shipped one, or by the path of a `.jinja` file.

    Raises:
        UnknownNameError: no prompt of that name is shipped; or its parser is unknown.
        ConfigError: there is no such file, or it does not say what a prompt needs.
    """
    path = Path(name_or_path)
    if str(name_or_path) in names():
        path = FOLDER / f"{name_or_path}{SUFFIX}"
    elif path.suffix == SUFFIX and not path.is_file():
        raise ConfigError(f"prompt {path}: there is no such file; shipped are {', '.join(names())}")
    elif path.suffix != SUFFIX:
        hint = f"Or give the path of a {SUFFIX} file."
        raise unknown_name("prompt", str(name_or_path), names(), hint)
    whole = path.read_bytes()
    try:
        before, *rest = whole.decode().split(FENCE, 2)
        if before.strip() or not rest:
            raise ValueError(f"it does not begin with {FENCE}")
        if len(rest) < 2:
            raise ValueError(f"there is no second {FENCE}")
        head, text = rest
        made = _template(path.stem, hashlib.sha256(whole).hexdigest(), tomllib.loads(head), text)
    except KeyError as error:
        raise ConfigError(f"prompt {path}: {error} is missing") from error
    except (ValueError, TypeError, AttributeError) as error:
        raise ConfigError(
            f"prompt {path}: {error}. Needed are TOML between two lines of {FENCE}, with a parser "
            "and a list of needs, and then the text"
        ) from error
    _check_names(made)
    _ = made.reader  # an unknown parser is an error now, not when the first answer is there
    return made


def _template(name: str, digest: str, head: dict[str, Any], text: str) -> Template:
    examples = tuple(
        Example(str(entry["answer"]), None if "value" not in entry else float(entry["value"]))
        for entry in head.pop("examples", ())
    )
    made = Template(
        name,
        digest,
        str(head.pop("description", "")),
        str(head.pop("parser")),
        tuple(map(str, head.pop("needs"))),
        str(head.pop("truth", "")),
        {str(k): str(v) for k, v in head.pop("parameters", {}).items()},
        int(head.pop("images", 1)),
        str(head.pop("system", "")),
        text.strip(),
        examples,
    )
    if head:
        raise ValueError(f"nothing is known of {', '.join(sorted(head))}")
    if not made.text:
        raise ValueError("there is no text")
    return made


def _check_names(template: Template) -> None:
    """Names in the text that the head does not declare are mistakes, found before a run."""
    environment = _environment()
    import jinja2.meta

    try:
        used = set()
        for source in (template.system, template.text):
            used |= jinja2.meta.find_undeclared_variables(environment.parse(source))
    except jinja2.TemplateError as error:
        raise ConfigError(f"prompt {template.name!r}: {error}") from error
    for name in sorted(used - set(template.parameters) - set(template.needs)):
        hint = f"Put it into needs or parameters of the prompt {template.name!r}."
        raise unknown_name("name", name, [*template.parameters, *template.needs], hint)


def _environment() -> Any:
    """Sandboxed, because users pass templates on; strict, because an empty place asks nothing."""
    try:
        from jinja2 import StrictUndefined
        from jinja2.sandbox import SandboxedEnvironment
    except ImportError as error:
        raise missing_extra("jinja2", "vlm", "a prompt from a file") from error
    return SandboxedEnvironment(undefined=StrictUndefined)


@lru_cache(64)
def _compiled(source: str) -> Any:
    """A template made ready: the same one is filled in for every frame of a run."""
    return _environment().from_string(source)
