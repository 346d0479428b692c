"""The training loop: the experiment, read from top to bottom."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from tomolift import data
from tomolift.inflation import recalibrate_norms

from ._checkpoint import Position, resume_checkpoint, save_checkpoint
from ._config import DataConfig, TrainingConfig
from ._device import Compute
from ._evaluate import evaluate
from ._files import write_lines
from ._loss import loss_and_confusion, low_resolution_logits
from ._metrics import score
from .errors import NonFiniteLossError

# A 3D checkpoint is 400 MB with Adam's state: short epochs do not each need one.
CHECKPOINT_SECONDS = 30.0


@dataclass(frozen=True, kw_only=True)
class Fit:
    """What one training needs to know.

    Attributes:
        name: how messages call it.
        spatial_dims: 2 feeds slices, 3 volumes.
        epochs: passes over the training cases.
        batch: slices or volumes per step.
        seed: of the order of the batches.
        training_cases: what is learned from.
        evaluation_cases: what every epoch is judged on; nothing is chosen by it.
        folder: receives metrics.jsonl and checkpoints/.
        identity: the run's hash.
    """

    name: str
    spatial_dims: int
    epochs: int
    batch: int
    seed: int
    training_cases: Sequence[str]
    evaluation_cases: Sequence[str]
    folder: Path
    identity: str


def train(
    network: nn.Module,
    fit: Fit,
    *,
    cache: data.Cache,
    data_config: DataConfig,
    config: TrainingConfig,
    compute: Compute,
    on_epoch: Callable[[list[dict[str, Any]]], None],
) -> tuple[list[dict[str, Any]], dict[str, Tensor]]:
    """Train a network in place, resuming from the newest checkpoint in `fit.folder`.

    Every epoch visits each slice or volume once, in an order that depends on (seed, epoch) alone,
    then evaluates, writes metrics.jsonl, calls `on_epoch(history)`, and writes a checkpoint where
    the last one is older than CHECKPOINT_SECONDS.

    Returns:
        history: one record an epoch, the first one before any training.
        matrices: the last epoch's confusion matrix of each evaluation case.

    Raises:
        NonFiniteLossError: at the step where the loss stops being a number.
        DamagedCheckpointError: the folder's checkpoints cannot be resumed.
    """
    network = compute.place(network, spatial_dims=fit.spatial_dims)
    optimiser = torch.optim.Adam(
        network.parameters(),
        lr=config.learning_rate,
        betas=(config.beta1, config.beta2),
        weight_decay=config.weight_decay,
        fused=True,
    )
    checkpoints = fit.folder / "checkpoints"
    position = resume_checkpoint(
        checkpoints, network=network, optimiser=optimiser, identity=fit.identity
    )

    def judge(record: dict[str, Any]) -> dict[str, Tensor]:
        started = time.perf_counter()
        running = {name: value.clone() for name, value in network.named_buffers()}
        measure_norms(network, fit, config.norm_batches, cache, data_config, compute)
        matrices = evaluate(
            network,
            cache,
            fit.evaluation_cases,
            spatial_dims=fit.spatial_dims,
            config=data_config,
            compute=compute,
        )
        for name, value in network.named_buffers():
            value.copy_(running[name])  # training goes on as if nobody had looked
        scores = score(list(matrices.values()))
        record |= {
            "mean_iou_pooled": scores.mean_iou_pooled,
            "mean_iou_per_case": scores.mean_iou_per_case,
            "iou": scores.iou,
            "dice": scores.dice,
            "predicted_share": scores.predicted_share,
            "evaluation_seconds": time.perf_counter() - started,
        }
        return matrices

    history = position.history
    if not history:
        untrained: dict[str, Any] = {"epoch": 0, "loss": None}
        judge(untrained)
        history = [untrained]
        on_epoch(history)

    matrices: dict[str, Tensor] | None = None
    saved = time.perf_counter()
    for epoch in range(position.epoch, fit.epochs):
        record = train_epoch(
            network,
            optimiser,
            fit,
            epoch=epoch,
            cache=cache,
            data_config=data_config,
            compute=compute,
        )
        matrices = judge(record)
        history = [*history, record]
        write_lines(fit.folder / "metrics.jsonl", history)
        if time.perf_counter() - saved >= CHECKPOINT_SECONDS:
            save_checkpoint(
                checkpoints,
                network=network,
                optimiser=optimiser,
                position=Position(epoch + 1, history),
                identity=fit.identity,
            )
            saved = time.perf_counter()
        on_epoch(history)
    if matrices is None:  # resumed after the last epoch, before its result was written
        matrices = judge({})
    # What is kept is what was evaluated.
    measure_norms(network, fit, config.norm_batches, cache, data_config, compute)
    return history, matrices


def measure_norms(
    network: nn.Module,
    fit: Fit,
    batches: int,
    cache: data.Cache,
    data_config: DataConfig,
    compute: Compute,
) -> None:
    """Measure BatchNorm's statistics again over the first `batches` training batches; 0: do not.

    With the paper's momentum of 0.1 and few steps the running averages lag behind the weights:
    a 3D arm whose loss kept falling was seen to predict background alone in evaluation, and
    pancreas at IoU 0.66 with its statistics measured again (docs/results/phantom.md).
    """
    if not batches:
        return
    feed = _feed(cache, fit, data_config, compute, epoch=0)
    with closing(feed):
        recalibrate_norms(
            network,
            (images for images, _ in islice(feed, batches)),
            forward=lambda images: low_resolution_logits(
                network, images, zoom=data_config.zoom, compute=compute
            ),
        )


def train_epoch(
    network: nn.Module,
    optimiser: torch.optim.Optimizer,
    fit: Fit,
    *,
    epoch: int,
    cache: data.Cache,
    data_config: DataConfig,
    compute: Compute,
) -> dict[str, Any]:
    """One pass over the training cases; returns the epoch's record without its evaluation."""
    started = time.perf_counter()
    network.train()
    loss_total, valid_total, skipped, step = 0.0, 0, 0, -1
    for step, (images, labels) in enumerate(_feed(cache, fit, data_config, compute, epoch=epoch)):
        loss_sum, confusion = loss_and_confusion(
            network,
            images,
            labels,
            zoom=data_config.zoom,
            compute=compute,
            ignore_label=cache.ignore_label,
        )
        valid = int(confusion.sum())
        if valid == 0:
            skipped += 1
            continue
        step_loss = float(loss_sum.detach())
        if not math.isfinite(step_loss):
            raise NonFiniteLossError(_where(fit, cache, epoch, step, step_loss))
        optimiser.zero_grad(set_to_none=True)
        (loss_sum / valid).backward()
        optimiser.step()
        loss_total, valid_total = loss_total + step_loss, valid_total + valid
    return {
        "epoch": epoch + 1,
        "loss": loss_total / max(valid_total, 1),
        "steps": step + 1,
        "skipped_steps": skipped,
        "learning_rate": optimiser.param_groups[0]["lr"],
        "seconds": time.perf_counter() - started,
    }


def _feed(
    cache: data.Cache, fit: Fit, data_config: DataConfig, compute: Compute, *, epoch: int
) -> data.Batches:
    """The training batches of an epoch, in an order that depends on (seed, epoch) alone."""
    feed = cache.slices if fit.spatial_dims == 2 else cache.volumes
    return feed(
        batch=fit.batch,
        cases=fit.training_cases,
        seed=fit.seed,
        epoch=epoch,
        intensity=data.parse_intensity(data_config.intensity),
        device=compute.device,
    )


def _where(fit: Fit, cache: data.Cache, epoch: int, step: int, loss: float) -> str:
    order = cache.slice_order if fit.spatial_dims == 2 else cache.volume_order
    batches = order(batch=fit.batch, cases=fit.training_cases, seed=fit.seed, epoch=epoch)
    return (
        f"{fit.name}: loss is {loss} at epoch {epoch + 1}, step {step + 1}, batch "
        f"{batches[step]}; lower --learning-rate or use --precision fp32"
    )
