"""Weight standardisation folded into plain filters, which is what can be inflated (fact F10)."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn


def fold_weight_standardization(
    module: nn.Conv2d,
    *,
    eps: float,
    gain: Float[Tensor, "..."] | float = 1.0,
) -> nn.Conv2d:
    """A plain Conv2d that computes what a weight-standardised one does.

    Each filter becomes (w - mean(w)) / sqrt(var(w) + eps) * gain, with the variance over its
    fan-in divided by its size (Qiao et al., 2019). Inflating the raw filter and standardising the
    3D one instead would make it `taps` times too large, since the variance forgets the taps' sum.

    Args:
        module: a subclass of Conv2d that standardises its filter in its `forward`. Not changed.
        eps: its addition to the variance.
        gain: a factor for all filters or for each, broadcast against (filter, 1, 1, 1).

    Returns:
        A Conv2d with the same geometry, bias, mode and flags, and parameters of its own.

    Example:
        >>> import torch
        >>> plain = fold_weight_standardization(nn.Conv2d(3, 8, 3), eps=1e-6)
        >>> torch.allclose(plain.weight.mean((1, 2, 3)), torch.zeros(8), atol=1e-6)
        True
    """
    raw = module.weight.detach()
    axes = (1, 2, 3)
    deviation = (raw.var(axes, correction=0, keepdim=True) + eps).sqrt()
    filters = (raw - raw.mean(axes, keepdim=True)) / deviation * gain
    plain = nn.Conv2d(
        module.in_channels,
        module.out_channels,
        module.kernel_size,  # type: ignore[arg-type]
        module.stride,  # type: ignore[arg-type]
        module.padding,  # type: ignore[arg-type]
        module.dilation,  # type: ignore[arg-type]
        module.groups,
        module.bias is not None,
        module.padding_mode,
        device="meta",  # replaced below
    )
    plain.weight = nn.Parameter(filters.detach(), requires_grad=module.weight.requires_grad)
    if module.bias is not None:
        bias = module.bias
        plain.bias = nn.Parameter(bias.detach().clone(), requires_grad=bias.requires_grad)
    return plain.train(module.training)
