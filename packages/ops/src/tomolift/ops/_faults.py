"""Out-of-range labels: counted by the kernels, reported here, at once or by a later call."""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from tomolift.ops._arguments import Options

# Pinned rows that a captured graph may take, as none can be allocated during a capture.
_RESERVED_ROWS = 64


@dataclass(frozen=True, kw_only=True, eq=False)
class _Report:
    """What one call counted; `row` (3,) is count, first flat position and value, on the CPU."""

    row: Tensor
    written: torch.cuda.Event | None  # None: written already, or over and over by a graph
    labels_shape: torch.Size
    classes: int
    ignore_index: int | None

    def raise_if_bad(self) -> None:
        count, first, value = self.row.tolist()
        if count == 0:
            return
        self.row.zero_()  # so that it is raised once; a graph that is replayed writes it again
        position = tuple(
            int(i) for i in torch.unravel_index(torch.tensor(first), self.labels_shape)
        )
        raise IndexError(
            f"labels has {value} at {position}, expected 0 to {self.classes - 1} or "
            f"ignore_index={self.ignore_index}; {count} of {self.labels_shape.numel()} labels are "
            "out of range: correct them, or pass check_labels='ignore' to leave them out"
        )


_lock = threading.Lock()
_pending: deque[_Report] = deque()
_captured: list[_Report] = []
_reserved: list[Tensor] = []


def report_faults(fault: Tensor, labels: Tensor, classes: int, options: Options) -> None:
    """Raise IndexError where a kernel counted labels outside [0, classes), now or later.

    Args:
        fault: int64 (3,), the count, the flat position of the first and its value.
        labels: the labels that were read.
        classes: the number of classes.
        options: check_labels says whether to look and when; None is "raise" on the CPU and "defer"
            on CUDA, where looking at once would wait for the device.
    """
    when = options.check_labels
    if when is None:
        when = "defer" if fault.is_cuda else "raise"
    if when == "ignore":
        return
    report = partial(
        _Report, labels_shape=labels.shape, classes=classes, ignore_index=options.ignore_index
    )
    if when == "raise":
        if _pending or _captured:
            _raise_earlier(len(_pending))
        report(row=fault.cpu(), written=None).raise_if_bad()
        return
    if fault.is_cuda and torch.cuda.is_current_stream_capturing():
        row = _take_reserved()
        row.copy_(fault, non_blocking=True)
        _captured.append(report(row=row, written=None))
        return
    row, written = _copy_without_waiting(fault)
    with _lock:
        earlier = len(_pending)
        _pending.append(report(row=row, written=written))
    _raise_earlier(earlier)


def check_deferred_labels() -> None:
    """Raise what calls with check_labels="defer" found and no later call has raised yet.

    Waits for the CUDA devices that such calls ran on. Each report is raised once; where there are
    several, the next call raises the next one.

    Raises:
        IndexError: a label was neither in [0, C) nor ignore_index; it names the first one.

    Example:
        >>> check_deferred_labels()
    """
    if _captured:
        torch.cuda.synchronize()
    for report in _captured:
        report.raise_if_bad()
    while True:
        with _lock:
            if not _pending:
                return
            report = _pending.popleft()
        if report.written is not None:
            report.written.synchronize()
        report.raise_if_bad()


def _raise_earlier(count: int) -> None:
    """Raise the first bad one of the oldest `count` reports, as far as their devices got."""
    for report in _captured:
        if int(report.row[0]) != 0:
            torch.cuda.synchronize()  # its row may be half written
            report.raise_if_bad()
    for _ in range(count):
        with _lock:
            if not _pending:
                return
            oldest = _pending[0]
            if oldest.written is not None and not oldest.written.query():
                return
            _pending.popleft()
        oldest.raise_if_bad()


def _copy_without_waiting(fault: Tensor) -> tuple[Tensor, torch.cuda.Event | None]:
    if not fault.is_cuda:
        return fault, None
    if not _reserved:
        rows = torch.zeros((_RESERVED_ROWS, 3), dtype=torch.int64, pin_memory=True)
        _reserved.extend(rows.unbind())
    row = torch.empty(3, dtype=torch.int64, pin_memory=True)
    row.copy_(fault, non_blocking=True)
    written = torch.cuda.Event()
    written.record()
    return row, written


def _take_reserved() -> Tensor:
    if not _reserved:
        raise RuntimeError(
            "check_labels='defer' has no memory set aside for this CUDA graph capture: call the op "
            f"once before capturing (at most {_RESERVED_ROWS} captured calls a process), or pass "
            "check_labels='ignore'"
        )
    return _reserved.pop()
