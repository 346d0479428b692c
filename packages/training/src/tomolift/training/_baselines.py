"""Two predictors that never look at an image: the floor every row stands on."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from tomolift import data


def all_background(cache: data.Cache, cases: Sequence[str]) -> dict[str, Tensor]:
    """Confusion matrices of predicting class 0 everywhere; reads no voxel."""
    matrices = {}
    for case in cases:
        matrix = torch.zeros(cache.num_classes, cache.num_classes, dtype=torch.int64)
        matrix[:, 0] = torch.as_tensor(np.asarray(cache[case].label_counts).sum(0))
        matrices[case] = matrix
    return matrices


def mean_training_mask(
    cache: data.Cache, training: Sequence[str], evaluation: Sequence[str]
) -> dict[str, Tensor]:
    """Confusion matrices of predicting, at each position, the training cases' commonest label.

    Volumes are laid on one grid by their centres; a position no training case has is background.
    """
    cases = [*training, *evaluation]
    grid = tuple(np.max([cache[case].shape for case in cases], axis=0))
    counts = np.zeros((cache.num_classes, *grid), dtype=np.int32)
    for case in training:
        labels = cache.labels(case)
        window = counts[(slice(None), *_centred(labels.shape, grid))]
        for index in range(cache.num_classes):
            window[index] += labels == index
    commonest = counts.argmax(0)
    matrices = {}
    for case in evaluation:
        labels = cache.labels(case)
        valid = labels != cache.ignore_label
        predicted = commonest[_centred(labels.shape, grid)][valid]
        pairs = labels[valid].astype(np.int64) * cache.num_classes + predicted
        matrix = np.bincount(pairs, minlength=cache.num_classes**2)
        matrices[case] = torch.as_tensor(matrix.reshape(cache.num_classes, cache.num_classes))
    return matrices


def _centred(shape: tuple[int, ...], grid: tuple[int, ...]) -> tuple[slice, ...]:
    starts = [(outer - inner) // 2 for inner, outer in zip(shape, grid, strict=True)]
    return tuple(slice(a, a + length) for a, length in zip(starts, shape, strict=True))
