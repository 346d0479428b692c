"""The training loop: the experiment, read from top to bottom."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from ._accumulation import GradientMean
from ._checkpoint import Position, resume_checkpoint, save_checkpoint
from ._files import write_lines
from ._fit import Fit
from ._judge import judge, measure_norms
from ._loss import loss_and_confusion
from ._schedule import learning_rate
from ._weight_average import WeightAverage
from .errors import NonFiniteLossError

# A 3D checkpoint is 400 MB with Adam's state: short epochs do not each need one.
CHECKPOINT_SECONDS = 30.0


def train(
    network: nn.Module, fit: Fit, *, on_epoch: Callable[[list[dict[str, Any]]], None]
) -> tuple[list[dict[str, Any]], dict[str, Tensor]]:
    """Train a network in place, resuming from the newest checkpoint in `fit.folder`.

    Every epoch visits each slice or volume once, in an order that depends on (seed, epoch) alone,
    then evaluates, writes metrics.jsonl, writes a checkpoint where the last one is older than
    CHECKPOINT_SECONDS, and calls `on_epoch(history)`.

    Returns:
        history: one record an epoch, the first one before any training.
        matrices: the last epoch's confusion matrix of each evaluation case.

    Raises:
        NonFiniteLossError: at the step where the loss stops being a number.
        DamagedCheckpointError: the folder's checkpoints cannot be resumed.
    """
    network = fit.compute.place(network, spatial_dims=fit.spatial_dims)
    optimiser = torch.optim.Adam(
        network.parameters(),
        lr=fit.training.learning_rate,
        betas=(fit.training.beta1, fit.training.beta2),
        weight_decay=fit.training.weight_decay,
        fused=True,
    )
    decay = fit.training.weight_average
    average = WeightAverage(network, decay=decay) if decay else None
    checkpoints = fit.folder / "checkpoints"
    position = resume_checkpoint(
        checkpoints, network=network, optimiser=optimiser, identity=fit.identity, average=average
    )
    history, saved = position.history, time.perf_counter()
    if not history:
        scores, _ = judge(network, fit)
        history = [{"epoch": 0, "loss": None, **scores}]
        on_epoch(history)

    matrices: dict[str, Tensor] | None = None
    for epoch in range(position.epoch, fit.epochs):
        record = train_epoch(network, optimiser, fit, epoch=epoch, average=average)
        with average.applied(network) if average else nullcontext():
            scores, matrices = judge(network, fit)
        history = [*history, {**record, **scores}]
        write_lines(fit.folder / "metrics.jsonl", history)
        if time.perf_counter() - saved >= CHECKPOINT_SECONDS:
            save_checkpoint(
                checkpoints,
                network=network,
                optimiser=optimiser,
                position=Position(epoch + 1, history),
                identity=fit.identity,
                average=average,
            )
            saved = time.perf_counter()
        on_epoch(history)

    if average:
        average.copy_to(network)
    if matrices is None:  # resumed after the last epoch, before its result was written
        _, matrices = judge(network, fit)
    measure_norms(network, fit)  # what is kept is what was evaluated
    return history, matrices


def train_epoch(
    network: nn.Module,
    optimiser: torch.optim.Optimizer,
    fit: Fit,
    *,
    epoch: int,
    average: WeightAverage | None = None,
) -> dict[str, Any]:
    """One pass over the training cases; returns the epoch's record without its evaluation."""
    started = time.perf_counter()
    network.train()
    loss_total, valid_total, steps, skipped = 0.0, 0, 0, 0
    gradient, batches = GradientMean(optimiser), len(fit.order(epoch))
    for index, (images, labels) in enumerate(fit.training_batches(epoch)):
        loss_sum, confusion = loss_and_confusion(
            network,
            images,
            labels,
            zoom=fit.data.zoom,
            compute=fit.compute,
            ignore_label=fit.cache.ignore_label,
            sampling=fit.training.sampling,
            class_weights=fit.class_weights,
            dice=fit.training.dice,
        )
        valid = int(confusion.sum())
        if valid:
            batch_loss = _finite(loss_sum, fit, epoch=epoch, index=index)
            loss_total, valid_total = loss_total + batch_loss, valid_total + valid
            gradient.add(loss_sum, valid)
        if (index + 1) % fit.training.accumulate and index + 1 < batches:
            continue
        stepped = gradient.step(_rate(fit, epoch * fit.steps_per_epoch + steps))
        steps, skipped = steps + 1, skipped + (not stepped)
        if average and stepped:
            average.update(network)
    return {
        "epoch": epoch + 1,
        "loss": loss_total / max(valid_total, 1),
        "steps": steps,
        "skipped_steps": skipped,
        "learning_rate": optimiser.param_groups[0]["lr"],
        "seconds": time.perf_counter() - started,
    }


def _rate(fit: Fit, step: int) -> float:
    return learning_rate(fit.training, step, steps_per_epoch=fit.steps_per_epoch, epochs=fit.epochs)


def _finite(loss: Tensor, fit: Fit, *, epoch: int, index: int) -> float:
    """The loss as a number; anything else stops the training where it happened."""
    value = float(loss.detach())
    if not math.isfinite(value):
        raise NonFiniteLossError(
            f"{fit.name}: loss is {value} at epoch {epoch + 1}, step {index + 1}, batch "
            f"{fit.describe_batch(epoch, index)}; lower --learning-rate or use --precision fp32"
        )
    return value
