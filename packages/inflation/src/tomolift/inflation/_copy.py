"""A deep copy of a network, also of one whose layers hold computed tensors."""

from __future__ import annotations

import copy
from typing import Any

from torch import Tensor, nn


def copy_network(net: nn.Module) -> nn.Module:
    """A copy that shares nothing with the source.

    torch refuses to deep-copy a tensor that a computation has left on a module, as the older
    `torch.nn.utils.weight_norm` does with `weight`; here its values are copied.
    """
    memo: dict[int, Any] = {}
    for module in net.modules():
        for tensor in vars(module).values():
            if isinstance(tensor, Tensor) and not tensor.is_leaf:
                memo[id(tensor)] = tensor.detach().clone()
    return copy.deepcopy(net, memo)
