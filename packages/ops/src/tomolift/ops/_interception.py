"""Whether the registered ops have to be seen by something between the caller and the kernels."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.utils._python_dispatch import is_in_torch_dispatch_mode


def intercepted(*tensors: Tensor | None) -> bool:
    """Tell whether the dispatcher must see the op instead of the kernels running at once.

    So it is under the compiler and the tracer, under a dispatch mode (fake tensors, make_fx,
    counters), for a tensor subclass (their tensors may have no memory at all, or want the op
    recorded) and for a tensor whose values have another sign than its memory.
    """
    if torch.compiler.is_compiling() or is_in_torch_dispatch_mode():
        return True
    if torch._C._get_tracing_state() is not None:
        return True
    return any(
        tensor is not None and (type(tensor) not in (Tensor, torch.nn.Parameter) or tensor.is_neg())
        for tensor in tensors
    )
