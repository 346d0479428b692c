"""Out-of-range labels: counted by the kernels, reported here."""

from __future__ import annotations

import torch
from torch import Tensor

from tomolift.ops._arguments import Options


def report_faults(fault: Tensor, labels: Tensor, classes: int, options: Options) -> None:
    """Raise IndexError where the kernel counted labels outside [0, classes).

    Args:
        fault: int64 (2,), the count and the flat position of the first.
        labels: the labels that were read.
        classes: the number of classes.
        options: says whether to look; looking waits for a CUDA device.
    """
    if options.check_labels == "ignore":
        return
    count, first = fault.tolist()
    if count == 0:
        return
    position = tuple(int(i) for i in torch.unravel_index(torch.tensor(first), labels.shape))
    value = int(labels[position])
    raise IndexError(
        f"labels has {value} at {position}, expected 0 to {classes - 1} or "
        f"ignore_index={options.ignore_index}; {count} of {labels.numel()} labels are out of "
        "range: correct them, or pass check_labels='ignore' to leave them out"
    )
