"""BatchNorm statistics measured again: inflation changes what the layers see (design fact F7)."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from .errors import InflationError


def recalibrate_norms(
    network: nn.Module,
    batches: Iterable[Tensor],
    *,
    forward: Callable[[Tensor], object] | None = None,
) -> int:
    """Replace every BatchNorm's running statistics by their mean over some batches, in place.

    Averaging taps shrinks activations on real volumes (F7), and the exponential running average
    (momentum 0.1) lags behind weights that change fast; either way evaluation sees statistics
    that are not those of the weights. Parameters, modes and momenta are left as they were.

    Args:
        network: 2D or 3D; a network without BatchNorm is left alone, and so is a norm that no
            batch reaches.
        batches: inputs of `network`, at least one.
        forward: how to run a batch, where `network(batch)` is not it.

    Returns:
        How many batches were seen.

    Raises:
        InflationError: no batch was given.

    Example:
        >>> norm = nn.BatchNorm2d(1)
        >>> recalibrate_norms(norm, [torch.full((2, 1, 4, 4), 3.0)])
        1
        >>> norm.running_mean.item()
        3.0
    """
    norms = [
        module
        for module in network.modules()
        if isinstance(module, _BatchNorm) and module.track_running_stats
    ]
    before = [(norm, norm.momentum, norm.training) for norm in norms]
    statistics = [{name: value.clone() for name, value in norm.named_buffers()} for norm in norms]
    count = 0
    try:
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = None  # torch's word for a plain mean over batches
            norm.train()
        with torch.no_grad():
            for batch in batches:
                (forward or network)(batch)
                count += 1
        if not count:
            raise InflationError("batches is empty: give at least one batch of inputs")
        for norm, kept in zip(norms, statistics, strict=True):
            if norm.num_batches_tracked == 0:  # no batch came by: an auxiliary head, say
                norm.load_state_dict({**norm.state_dict(), **kept})
    except BaseException:
        for norm, kept in zip(norms, statistics, strict=True):
            norm.load_state_dict({**norm.state_dict(), **kept})
        raise
    finally:
        for norm, momentum, training in before:
            norm.momentum = momentum
            norm.train(training)
    return count
