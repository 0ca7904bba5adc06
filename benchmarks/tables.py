"""What the tables of the report have in common: when and where something was measured."""

from __future__ import annotations

from typing import Any


def about(row: dict[str, Any]) -> str:
    """When, at which commit and where a line was measured."""
    return f"Measured {row['date']} at `{row['commit']}`: {where(row)}."


def where(row: dict[str, Any]) -> str:
    """The processor, the version of jax and its devices."""
    machine = row["machine"]
    return (
        f"{machine['processor']}, {machine['cores']} cores, jax {machine['versions']['jax']} on "
        f"{', '.join(machine['devices'])}"
    )
