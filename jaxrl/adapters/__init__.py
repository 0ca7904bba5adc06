"""Bridges to other people's environment interfaces."""

from flax import struct


@struct.dataclass
class NoTimeLimit:
    """The parameters of an environment that nobody set a time limit."""
