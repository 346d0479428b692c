"""What training raises when the user's input is at fault."""

from __future__ import annotations


class ConfigError(ValueError):
    """A profile, an argument or a combination of them cannot be run; one line with the cure."""


class DamagedCheckpointError(ValueError):
    """A training checkpoint is truncated, altered or of another kind; one line with the cure."""


class NonFiniteLossError(RuntimeError):
    """The loss became NaN or infinite; the message names run, epoch, step and cases."""


class PredictionError(ValueError):
    """An image cannot be labelled, or labels cannot be judged; one line with the cure."""
