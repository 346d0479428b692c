"""Class weights of the cross-entropy: rare classes count as much as common ones."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from tomolift.data import Cache


def balanced_weights(cache: Cache, cases: Sequence[str]) -> Float[Tensor, " classes"]:
    """Weights under which every class of the cases has the same share of the loss.

    Weight c is N / (K n_c) for the n_c voxels of class c among N labelled ones and K classes that
    occur: the mean weight of a voxel is 1, so that a loss divided by the number of valid voxels
    keeps its scale. A class that never occurs gets 0, which nothing is multiplied with.

    Args:
        cache: the volumes; no voxel is read.
        cases: the training cases, never those evaluated on.

    Returns:
        float32, on the CPU.
    """
    counts = np.sum([np.asarray(cache[case].label_counts).sum(0) for case in cases], axis=0)
    occur = counts > 0
    weights = np.zeros(len(counts))
    weights[occur] = counts.sum() / (occur.sum() * counts[occur])
    return torch.tensor(weights, dtype=torch.float32)
