"""The learning rate of a step: a pure function, so that nothing of it has to be resumed."""

from __future__ import annotations

import math

from ._training_config import TrainingConfig


def learning_rate(config: TrainingConfig, step: int, *, steps_per_epoch: int, epochs: int) -> float:
    """Adam's rate at a step.

    It rises linearly over the first `warmup_epochs`, and then stays (`schedule = "constant"`, the
    paper) or falls along half a cosine towards 0, which the step after the last would have.

    Args:
        config: rate, schedule and warm-up.
        step: optimiser steps done since the training began.
        steps_per_epoch: optimiser steps of an epoch.
        epochs: of the whole training.

    Example:
        >>> cosine = TrainingConfig(schedule="cosine", learning_rate=0.1)
        >>> [round(learning_rate(cosine, s, steps_per_epoch=2, epochs=2), 3) for s in range(4)]
        [0.1, 0.085, 0.05, 0.015]
    """
    warmup = round(config.warmup_epochs * steps_per_epoch)
    if step < warmup:
        return config.learning_rate * (step + 1) / warmup
    if config.schedule == "constant":
        return config.learning_rate
    progress = (step - warmup) / max(steps_per_epoch * epochs - warmup, 1)
    return config.learning_rate * (1 + math.cos(math.pi * progress)) / 2
