"""Whether contenders computed the same: a race between different results tells nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

# Torch sums millions of float32 losses in an order of its own.
LOSS_TOLERANCE = 1e-4
# Near ties of up-sampled logits fall either way.
VOXELS_THAT_MAY_DIFFER = 1e-5


def check_agreement(results: Mapping[str, Any]) -> None:
    """Hold losses and confusion matrices against the first one's.

    Args:
        results: what every contender returned: (loss, confusion matrix), None where it has none,
            or anything else for one that computes neither, such as a copy.

    Raises:
        ValueError: two differ; the message names them.
    """
    for place, (what, check) in enumerate((("loss", _same_loss), ("confusion", _same_confusion))):
        found = {
            name: result[place]
            for name, result in results.items()
            if isinstance(result, tuple) and result[place] is not None
        }
        first = next(iter(found), None)
        for name in found:
            if not check(found[str(first)], found[name]):
                raise ValueError(
                    f"{name} has {what} {found[name].tolist()}, expected {first}'s "
                    f"{found[str(first)].tolist()}: they do not compute the same"
                )


def _same_loss(one: torch.Tensor, other: torch.Tensor) -> bool:
    # eager float16 adds up to NaN, over and over
    return torch.allclose(other.double(), one.double(), rtol=LOSS_TOLERANCE, atol=0, equal_nan=True)


def _same_confusion(one: torch.Tensor, other: torch.Tensor) -> bool:
    differing = (other.long() - one.long()).abs().sum()
    return bool(differing <= 2 * VOXELS_THAT_MAY_DIFFER * one.sum())
