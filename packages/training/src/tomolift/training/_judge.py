"""How an epoch is judged: statistics measured, cases evaluated, training left as it was."""

from __future__ import annotations

import time
from contextlib import closing
from itertools import islice
from typing import Any

from torch import Tensor, nn

from tomolift.inflation import recalibrate_norms

from ._evaluate import evaluate
from ._fit import Fit
from ._loss import low_resolution_logits
from ._metrics import score


def judge(network: nn.Module, fit: Fit) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Evaluate a network in the middle of its training.

    Returns:
        record: the scores, as metrics.jsonl holds them.
        matrices: the confusion matrix of each evaluation case.
    """
    started = time.perf_counter()
    running = {name: value.clone() for name, value in network.named_buffers()}
    measure_norms(network, fit)
    matrices = evaluate(
        network,
        fit.cache,
        fit.evaluation_cases,
        spatial_dims=fit.spatial_dims,
        config=fit.data,
        compute=fit.compute,
        intensity=fit.intensity,
        sampling=fit.training.sampling,
    )
    for name, value in network.named_buffers():
        value.copy_(running[name])  # training goes on as if nobody had looked
    scores = score(list(matrices.values()))
    record = {
        "mean_iou_pooled": scores.mean_iou_pooled,
        "mean_iou_per_case": scores.mean_iou_per_case,
        "iou": scores.iou,
        "dice": scores.dice,
        "predicted_share": scores.predicted_share,
        "evaluation_seconds": time.perf_counter() - started,
    }
    return record, matrices


def measure_norms(network: nn.Module, fit: Fit) -> None:
    """Measure BatchNorm's statistics again over the first `norm_batches` batches; 0: do not.

    With the paper's momentum of 0.1 and few steps the running averages lag behind the weights:
    a 3D arm whose loss kept falling was seen to predict background alone in evaluation, and
    pancreas at IoU 0.66 with its statistics measured again (docs/results/phantom.md).
    """
    if not fit.training.norm_batches:
        return
    with closing(fit.batches(epoch=0)) as batches:
        recalibrate_norms(
            network,
            (images for images, _ in islice(batches, fit.training.norm_batches)),
            forward=lambda images: low_resolution_logits(
                network, images, zoom=fit.data.zoom, compute=fit.compute
            ),
        )
