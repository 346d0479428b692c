"""Cross-entropy and confusion under torch.compile: several ways to write it, the best counts."""

from __future__ import annotations

import statistics
from collections.abc import Callable

import torch
from measuring.race import Contender, Times
from torch import Tensor
from torch.nn import functional as F

from losses.problem import Problem
from losses.races import race
from losses.steps import confusion_by_bincount

Formulation = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


def bincount(logits: Tensor, indices: Tensor) -> tuple[Tensor, Tensor]:
    """As one writes it eagerly."""
    return F.cross_entropy(logits, indices), confusion_by_bincount(logits.detach(), indices)


def counted_bins(logits: Tensor, indices: Tensor) -> tuple[Tensor, Tensor]:
    """One reduction a bin, nothing scattered: the compiler can fuse them."""
    classes = logits.shape[1]
    pairs = indices * classes + logits.detach().argmax(dim=1)
    bins = torch.stack([(pairs == one).sum() for one in range(classes**2)])
    return F.cross_entropy(logits, indices), bins.reshape(classes, classes)


def compared_maxima(logits: Tensor, indices: Tensor) -> tuple[Tensor, Tensor]:
    """No argmax: the first class that reaches the maximum, by comparisons."""
    classes = logits.shape[1]
    planes = logits.detach().unbind(dim=1)
    best, predicted = planes[0], torch.zeros_like(indices)
    for one in range(1, classes):
        larger = planes[one] > best
        best = torch.where(larger, planes[one], best)
        predicted = torch.where(larger, one, predicted)
    truths = [indices == one for one in range(classes)]
    hits = [predicted == one for one in range(classes)]
    bins = torch.stack([(truth & hit).sum() for truth in truths for hit in hits])
    return F.cross_entropy(logits, indices), bins.reshape(classes, classes)


def planes_by_hand(logits: Tensor, indices: Tensor) -> tuple[Tensor, Tensor]:
    """Also the loss from class planes: no gather and, backwards, no scatter."""
    planes = logits.float().unbind(dim=1)
    largest = planes[0].detach()
    for plane in planes[1:]:
        largest = torch.maximum(largest, plane.detach())
    total = sum((torch.exp(plane - largest) for plane in planes), torch.zeros_like(largest))
    picked = sum(
        (torch.where(indices == one, plane, 0.0) for one, plane in enumerate(planes)),
        torch.zeros_like(largest),
    )
    loss = (torch.log(total) + largest - picked).mean()
    return loss, compared_maxima(logits, indices)[1]


FORMULATIONS: tuple[Formulation, ...] = (bincount, counted_bins, compared_maxima, planes_by_hand)


def best_compiled(
    problem: Problem, *, timed_by: Callable[..., Times] = race
) -> tuple[Contender, dict[str, float]]:
    """The fastest formulation, and the median microseconds of all over three rounds."""
    contenders = {way.__name__: compiled(problem, way) for way in FORMULATIONS}
    times = timed_by(contenders, rounds=3)
    medians = {name: statistics.median(found) for name, found in times.items()}
    fastest = min(medians, key=lambda name: medians[name])
    return contenders[fastest], {name: round(1e6 * each, 1) for name, each in medians.items()}


def compiled(problem: Problem, way: Formulation) -> Contender:
    indices = problem.labels.long()
    function = torch.compile(way)

    def step(logits: Tensor) -> tuple[Tensor, Tensor]:
        loss, confusion = function(logits, indices)
        loss.backward()
        return loss.detach(), confusion

    return Contender(problem.logits, step)
