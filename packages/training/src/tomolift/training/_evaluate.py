"""Evaluation: one confusion matrix a case, from the same fused loss that trains."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from tomolift import data

from ._config import DataConfig
from ._device import Compute
from ._loss import loss_and_confusion
from ._training_config import Sampling
from .errors import NonFiniteLossError


def evaluate(
    network: nn.Module,
    cache: data.Cache,
    cases: Sequence[str],
    *,
    spatial_dims: int,
    config: DataConfig,
    compute: Compute,
    intensity: data.Intensity | None = None,
    sampling: Sampling = "corners",
) -> dict[str, Tensor]:
    """Confusion matrices of whole cases, in the order of `cases`.

    One case is one forward (a batch of several differs from single runs in its last bits); a 2D
    network sees a case's slices as its batch, so both see exactly the same voxels.

    Args:
        network: 2D or 3D.
        cache: the volumes.
        cases: which of them.
        spatial_dims: 2 feeds slices, 3 volumes.
        config: intensity policy and zoom.
        compute: device and precision.
        intensity: the policy, where it was fitted to training cases; else `config`'s.
        sampling: how the logits are brought to the labels' grid.

    Returns:
        case -> int64 (classes, classes) on the CPU.

    Raises:
        NonFiniteLossError: a case's loss is no number; nothing was kept of the epoch.
    """
    was_training = network.training
    network.eval()
    intensity = intensity or data.parse_intensity(config.intensity)
    matrices: dict[str, Tensor] = {}
    with torch.inference_mode():
        for case in cases:
            feed = cache.slices if spatial_dims == 2 else cache.volumes
            batch = cache.depth if spatial_dims == 2 else 1
            total = torch.zeros(cache.num_classes, cache.num_classes, dtype=torch.int64)
            for images, labels in feed(
                batch=batch,
                cases=(case,),
                shuffle=False,
                intensity=intensity,
                device=compute.device,
            ):
                loss, confusion = loss_and_confusion(
                    network,
                    images,
                    labels,
                    zoom=config.zoom,
                    compute=compute,
                    ignore_label=cache.ignore_label,
                    sampling=sampling,
                )
                if not math.isfinite(float(loss)):
                    raise NonFiniteLossError(
                        f"{case}: loss is {float(loss)} in evaluation, the weights are no numbers "
                        "any more; lower --learning-rate or use --precision fp32"
                    )
                total += confusion.cpu()
            matrices[case] = total
    network.train(was_training)
    return matrices
