"""The race on a GPU: timed by events on its stream, never waiting for it in between."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from measuring.race import (
    WARM_UP,
    Agreement,
    Contender,
    Times,
    check_contenders,
    collector_paused,
    orders,
)

# Written before every step: it empties the L2 cache (50 MB on an H100 or H200), and takes the
# device about as long as the host needs to launch the step, whose kernels then follow closely.
FLUSHED_BYTES = 2**30


def race_on_device(
    contenders: Mapping[str, Contender], *, rounds: int, agreement: Agreement
) -> Times:
    """Seconds of every round by CUDA events; otherwise as `race`.

    Raises:
        ValueError: two contenders did not compute the same.
    """
    check_contenders(contenders, agreement)
    flushed = torch.empty(FLUSHED_BYTES, dtype=torch.uint8, device="cuda")
    events: dict[str, list[tuple[torch.cuda.Event, torch.cuda.Event]]]
    events = {name: [] for name in contenders}
    with collector_paused():
        for names in orders(contenders, WARM_UP + rounds):
            for name in names:
                given = contenders[name].prepare()
                flushed.zero_()
                start, stop = (torch.cuda.Event(enable_timing=True) for _ in range(2))
                start.record()
                contenders[name].step(given)
                stop.record()
                events[name].append((start, stop))
        torch.cuda.synchronize()
    return {
        name: [1e-3 * start.elapsed_time(stop) for start, stop in pairs[WARM_UP:]]
        for name, pairs in events.items()
    }


def extra_device_memory(contender: Contender) -> int:
    """Bytes by which the allocated memory peaks during one step above where it was before."""
    contender.step(contender.prepare())
    given = contender.prepare()
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    contender.step(given)
    torch.cuda.synchronize()
    return torch.cuda.max_memory_allocated() - before
