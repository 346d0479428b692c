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
            int(i)
            for i in torch.unravel_index(torch.tensor(first, device="cpu"), self.labels_shape)
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
        report(row=fault.cpu(), written=None).raise_if_bad()
    elif fault.is_cuda:
        with torch.cuda.device(fault.device), _lock:
            if torch.cuda.is_current_stream_capturing():
                row = _take_reserved()
                row.copy_(fault, non_blocking=True)
                _captured.append(report(row=row, written=None))
                return
            row, written = _copy_without_waiting(fault)
            _pending.append(report(row=row, written=written))
    else:
        with _lock:
            _pending.append(report(row=fault, written=None))


def raise_earlier_reports(options: Options) -> None:
    """Raise IndexError where an earlier call's deferred report is there and bad.

    An op calls it before anything else, so that it leaves nothing half done.

    Args:
        options: with check_labels="ignore" nothing is looked at.
    """
    if options.check_labels == "ignore" or not (_pending or _captured):
        return
    if torch.cuda.is_initialized() and torch.cuda.is_current_stream_capturing():
        return  # no event can be asked during a capture
    for report in _captured_so_far():
        if int(report.row[0]) != 0:
            _wait_for_all_devices()  # its row may be half written
            report.raise_if_bad()
    while True:
        with _lock:
            if not _pending:
                return
            oldest = _pending[0]
            if oldest.written is not None and not oldest.written.query():
                return
            _pending.popleft()
        oldest.raise_if_bad()


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
        _wait_for_all_devices()
    for report in _captured_so_far():
        report.raise_if_bad()
    while True:
        with _lock:
            if not _pending:
                return
            report = _pending.popleft()
        if report.written is not None:
            report.written.synchronize()
        report.raise_if_bad()


def _captured_so_far() -> list[_Report]:
    with _lock:
        return list(_captured)


def _wait_for_all_devices() -> None:
    for index in range(torch.cuda.device_count()):
        torch.cuda.synchronize(index)


def _copy_without_waiting(fault: Tensor) -> tuple[Tensor, torch.cuda.Event]:
    if not _reserved:
        shape = (_RESERVED_ROWS, 3)
        rows = torch.zeros(shape, dtype=torch.int64, device="cpu", pin_memory=True)
        _reserved.extend(rows.unbind())
    row = torch.empty(3, dtype=torch.int64, device="cpu", pin_memory=True)
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
