"""Linear up-sampling of maps of any rank."""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor


def resize_linearly(
    x: Float[Tensor, "batch channel *space"], size: Sequence[int]
) -> Float[Tensor, "batch channel *out"]:
    """Interpolate to `size` ([D,] H, W) bilinearly or trilinearly, with align_corners=True.

    Source: paper, the network's last step.
    """
    mode = "bilinear" if x.ndim == 4 else "trilinear"
    return F.interpolate(x, size=size, mode=mode, align_corners=True)
