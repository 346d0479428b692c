"""Times the dense op on CUDA beside eager torch and a copy; prints one line of JSON.

Loss, gradient and confusion matrix against F.cross_entropy's loss and gradient, by events, taken in
turns, over buffers that are larger than the L2 cache and rotate.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable
from typing import Any

import torch
from torch.nn import functional as F

from tomolift.ops import voxel_cross_entropy

SHAPE = (2, 3, 70, 512, 512)
DTYPES = (torch.float32, torch.bfloat16)
BUFFERS = 3
ROUNDS, WARM_UP = 21, 3
FREE_BYTES = 8 * 2**30  # eager float32 keeps and makes several copies of its 440 MB of logits


def main() -> None:
    free, _ = torch.cuda.mem_get_info()
    if free < FREE_BYTES:
        why = f"{free / 2**30:.1f} GiB are free on the device, {FREE_BYTES / 2**30:.0f} are needed"
        print(json.dumps({"status": "not run", "why": why}))
        return
    cache = torch.cuda.get_device_properties().L2_cache_size
    cases = []
    for dtype in DTYPES:
        times = by_events(calls(SHAPE, dtype, "cuda"))
        cases.append({"dtype": str(dtype).removeprefix("torch."), **summarise(times, SHAPE, dtype)})
    print(json.dumps({"status": "ran", "shape": SHAPE, "l2_bytes": cache, "cases": cases}))


def calls(
    shape: tuple[int, ...], dtype: torch.dtype, device: str
) -> dict[str, Callable[[int], Any]]:
    """What is timed; each takes the number of the round, which chooses the buffer."""
    generator = torch.Generator(device).manual_seed(0)
    logits, labels, indices = [], [], []
    for _ in range(BUFFERS):
        drawn = torch.randn(shape, generator=generator, device=device).to(dtype)
        logits.append(drawn.requires_grad_())
        size = (shape[0], *shape[2:])
        indices.append(torch.randint(0, shape[1], size, generator=generator, device=device))
        labels.append(indices[-1].to(torch.uint8))
    copies = [torch.empty_like(one, requires_grad=False) for one in logits]

    def ours(turn: int) -> Any:
        i = turn % BUFFERS
        loss, confusion = voxel_cross_entropy(logits[i], labels[i])
        return loss.detach(), torch.autograd.grad(loss, logits[i])[0], confusion

    def eager(turn: int) -> Any:
        i = turn % BUFFERS
        loss = F.cross_entropy(logits[i], indices[i])
        return loss.detach(), torch.autograd.grad(loss, logits[i])[0]

    def copy(turn: int) -> Any:
        return copies[turn % BUFFERS].copy_(logits[turn % BUFFERS].detach())

    return {"ours": ours, "eager": eager, "copy": copy}


def by_events(timed: dict[str, Callable[[int], Any]]) -> dict[str, list[float]]:
    """Microseconds of every round, the calls taken in turns."""
    pairs: dict[str, list[tuple[Any, Any]]] = {name: [] for name in timed}
    for turn in range(WARM_UP + ROUNDS):
        for name, call in timed.items():
            start, stop = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            start.record()
            call(turn)
            stop.record()
            pairs[name].append((start, stop))
    torch.cuda.synchronize()
    return {
        name: [1e3 * start.elapsed_time(stop) for start, stop in found[WARM_UP:]]
        for name, found in pairs.items()
    }


def summarise(
    times: dict[str, list[float]], shape: tuple[int, ...], dtype: torch.dtype
) -> dict[str, Any]:
    """Medians, their ratio, and the least traffic as a share of what a copy reaches.

    The least an op can move is: logits read, gradient written, labels (one byte each) read.
    """
    elements = torch.Size(shape).numel()
    moved = 2 * elements * dtype.itemsize + elements // shape[1]
    copied = 2 * elements * dtype.itemsize
    medians = {name: statistics.median(values) for name, values in times.items()}
    return {
        **{f"{name}_us": round(value, 1) for name, value in medians.items()},
        "eager_to_ours": round(medians["eager"] / medians["ours"], 3),
        "bytes_moved_at_least": moved,
        "copy_gb_per_s": round(copied / medians["copy"] / 1e3, 1),
        "share_of_copy_bandwidth": round(moved / medians["ours"] / (copied / medians["copy"]), 3),
        "rounds": len(times["ours"]),
    }


if __name__ == "__main__":
    main()
