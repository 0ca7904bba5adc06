"""Showing pictures where there is a notebook to show them in."""

from __future__ import annotations


def in_notebook() -> bool:
    """Whether this is a Jupyter kernel, which can show pictures."""
    try:
        from IPython.core.getipython import get_ipython
    except ImportError:
        return False
    return type(get_ipython()).__name__ == "ZMQInteractiveShell"


def display_image(data: bytes) -> None:
    """Shows a PNG or GIF below the cell that is running; only to be called in a notebook."""
    from IPython.display import Image, display

    display(Image(data=data))
