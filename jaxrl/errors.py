"""Errors that say what was given, what is needed, and what to type instead.

All of them are raised while a program is being built, before anything compiles.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any

import jax


class JaxrlError(Exception):
    """Base of every error that jaxrl raises on purpose; the CLI prints it without a traceback."""


class UnknownNameError(JaxrlError, KeyError):
    """A name that no table holds."""

    def __str__(self) -> str:  # KeyError would print the repr
        return str(self.args[0])


class ConfigError(JaxrlError, ValueError):
    """A setting out of range, or settings that do not fit together."""


class EnvironmentContractError(JaxrlError, TypeError):
    """An environment that breaks the contract of `jaxrl.environment.Environment`."""


class SpaceError(JaxrlError, TypeError):
    """An action or observation space that the algorithm cannot take."""


class RunFolderError(JaxrlError):
    """A folder that is not a run, is of an incompatible version, or does not match its config."""


class DivergedError(JaxrlError, FloatingPointError):
    """A loss or a gradient that stopped being finite."""


class ModelError(JaxrlError):
    """What a model or its server did that leaves nothing to go on with (a wrong key, say)."""


class ProgramError(JaxrlError, ValueError):
    """A reward program or a rule that is refused; `refusals` says why, line by line.

    Attributes:
        refusals: a tuple of `jaxrl.rewards.program.Refusal`.
    """

    def __init__(self, *refusals: Any) -> None:
        """An error that shows each refusal on a line of its own."""
        super().__init__("\n".join(str(refusal) for refusal in refusals))
        self.refusals = refusals


class MissingExtraError(JaxrlError, ImportError):
    """An optional dependency that is not installed."""


def unknown_name(kind: str, name: str, known: Iterable[str], hint: str = "") -> UnknownNameError:
    """The error for a name that is not in a table, with the nearest ones that are."""
    known = sorted(known)
    # Compared in lower case: "cartpole" should find "CartPole-v1".
    lowered = {k.lower(): k for k in known}
    near = [lowered[k] for k in difflib.get_close_matches(name.lower(), lowered, n=3, cutoff=0.5)]
    if near:
        advice = f"did you mean {' or '.join(repr(n) for n in near)}?"
    else:
        advice = f"known: {', '.join(known)}." if known else "there are none."
    return UnknownNameError(f"unknown {kind} {name!r}: {advice}{' ' + hint if hint else ''}")


def missing_extra(package: str, extra: str, purpose: str) -> MissingExtraError:
    """The error for an optional dependency, naming the extra that brings it."""
    return MissingExtraError(
        f"{purpose} needs the package {package!r}, which is not installed: "
        f"pip install 'jaxrl[{extra}]'"
    )


def known(*settings: Any) -> bool:
    """Whether all settings are values and none is traced, so that they can be compared.

    Those that are traced (a sweep under `vmap`) were checked when the sweep was built.
    """
    return not any(isinstance(setting, jax.core.Tracer) for setting in settings)


def check_range(
    name: str,
    value: Any,
    low: float | None = None,
    high: float | None = None,
    *,
    open_low: bool = False,
    whole: bool = False,
) -> None:
    """Raises `ConfigError` if a concrete number lies outside `[low, high]`, or is not `whole`.

    Values that are being traced (a sweep under `vmap`) are let through: their numbers are not
    known here, and were checked when the sweep was built.
    """
    if value is None or not known(value):
        return
    below = low is not None and not (value > low if open_low else value >= low)
    above = high is not None and not value <= high
    if below or above or (whole and value % 1 != 0):
        left = "(" if open_low or low is None else "["
        right = ")" if high is None else "]"
        low_text = "-inf" if low is None else f"{low:g}"
        high_text = "inf" if high is None else f"{high:g}"
        raise ConfigError(
            f"{name}={value} is out of range: needed is a {'whole ' if whole else ''}number in "
            f"{left}{low_text}, {high_text}{right}."
        )
