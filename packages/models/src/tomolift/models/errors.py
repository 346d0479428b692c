"""What a weights file can be refused for."""

from __future__ import annotations


class CheckpointError(ValueError):
    """A weights file that cannot be used; one line with the file, what is wrong, and the cure."""
