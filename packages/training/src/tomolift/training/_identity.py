"""The part of a run's identity that says how it departs from the paper's training."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from ._arms import Arm
from ._training_config import TrainingConfig

# Settings that stand in every identity, or change no result (threads), or are resolved elsewhere
# (precision by the device, source by where the run starts).
_SPELT_OUT = {
    "epochs_2d", "epochs_3d", "batch_2d", "batch_3d", "learning_rate", "beta1", "beta2",
    "weight_decay", "norm_batches", "depth_padding", "depth_stride", "precision", "threads",
    "source",
}  # fmt: skip


def beyond_the_paper(config: TrainingConfig, *, arm: Arm) -> dict[str, Any]:
    """Settings that the paper has no word for, where they are not its choice.

    Each enters a run's identity only then, so that a key that is added changes no run made before.
    """
    paper = TrainingConfig()
    keys = {field.name for field in fields(TrainingConfig)} - _SPELT_OUT
    if arm.strategy != "scaling":
        keys -= {"alphas_3", "alphas_7"}
    if arm.spatial_dims == 2:
        keys -= {"depth_kernel"}
    return {
        key: getattr(config, key)
        for key in sorted(keys)
        if getattr(config, key) != getattr(paper, key)
    }
