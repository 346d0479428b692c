"""When a lifted network counts as lifted: only then is it timed."""

from __future__ import annotations

import torch
from torch import nn

from tomolift.inflation import check_inflation

TOLERANCE = 1e-5  # the design's, for logits in fp32: max|3D - 2D| / max|2D|


def check_constant_volume(net2d: nn.Module, net3d: nn.Module, *, depth: int, side: int) -> float:
    """The largest error of a slice on a volume that repeats one slice, ends included.

    Raises:
        ContractError: it is above TOLERANCE.
    """
    report = check_inflation(
        net2d,
        net3d,
        depth=depth,
        contract="constant_volume",
        tolerance=TOLERANCE,
        example=torch.zeros(1, 3, side, side),
    )
    return report.require().output.worst
