from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from tomolift.data import (
    BadInput,
    Cache,
    ClippedZScore,
    Window,
    ZScore,
    build_cache,
    open_cache,
)
from tomolift.data import _blocks_cuda as blocks_cuda
from tomolift.data._blocks_cuda import CudaFiller
from tomolift.data._prefetch import prefetched

CASES = {"int16": ["a", "b", "c"], "float32": ["a", "c", "d"]}
POLICIES = [Window(-500, 500), ZScore(), ClippedZScore(10, 90)]
WINDOW = POLICIES[0]

needs_device = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
Batch = tuple[Tensor, Tensor]


@pytest.fixture
def cache(task: Any, tmp_path: Path) -> Cache:
    """Four cases: two sizes, one padded in depth, one float32."""
    task.add("a", seed=0, shape=(9, 8, 6))
    task.add("b", seed=1, shape=(9, 8, 3))
    task.add("c", seed=2, shape=(6, 11, 7))
    values = torch.randn(9, 8, 6, generator=torch.Generator().manual_seed(3))
    task.add("d", 300 * values.numpy())
    build_cache(task.folder, tmp_path / "cache", depth=6, short="pad", workers=1)
    return open_cache(tmp_path / "cache")


def copies(batches: Any) -> list[Batch]:
    return [(images.clone(), labels.clone()) for images, labels in batches]


def assert_same(batches: list[Batch], others: list[Batch]) -> None:
    """The same bits; torch.equal takes -0 for 0."""
    assert len(batches) == len(others)
    for (images, labels), (other_images, other_labels) in zip(batches, others, strict=True):
        assert images.dtype == other_images.dtype == torch.float32
        assert torch.equal(images.cpu(), other_images.cpu())
        assert torch.equal(labels.cpu(), other_labels.cpu())


class LazyCopies:
    """A device as slow as can be: it copies labels only when somebody waits for its event.

    Images are copied at once, so that the arithmetic can be done.
    """

    def __init__(self) -> None:
        self.pending: list[tuple[Tensor, Tensor]] = []
        self.waits = 0

    def ship(self, source: Tensor, device: torch.device) -> Tensor:
        target = torch.zeros_like(source)
        if source.dtype == torch.uint8:
            self.pending.append((target, source))
        else:
            target.copy_(source)
        return target

    def event(self, *, blocking: bool) -> Any:
        assert blocking
        return LazyEvent(self)


class LazyEvent:
    """Done when the copies are that were started before it was recorded."""

    def __init__(self, copies: LazyCopies) -> None:
        self.copies = copies

    def record(self, stream: object) -> None:
        self.before, self.copies.pending = self.copies.pending, []

    def synchronize(self) -> None:
        self.copies.waits += 1
        for target, source in self.before:
            target.copy_(source)


@pytest.fixture
def lazy_copies(monkeypatch: pytest.MonkeyPatch) -> LazyCopies:
    """The CUDA path on the CPU: pageable memory for pinned, and copies that wait."""
    lazy = LazyCopies()
    monkeypatch.setattr(torch.cuda, "Event", lazy.event)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: None)
    monkeypatch.setattr(
        blocks_cuda, "pinned", lambda shape, dtype, device: torch.empty(shape, dtype=dtype)
    )
    monkeypatch.setattr(blocks_cuda, "ship", lazy.ship)
    return lazy


@pytest.mark.parametrize("ring", [0, 2, 3])
@pytest.mark.parametrize("intensity", POLICIES)
@pytest.mark.parametrize("dtype", CASES)
def test_what_is_shipped_and_rescaled_on_a_device_is_the_host_batch(
    cache: Cache, lazy_copies: LazyCopies, intensity: Any, dtype: str, ring: int
) -> None:
    options: dict[str, Any] = {"cases": CASES[dtype]}
    order = [tuple((case, z, z + 1) for case, z in b) for b in cache.slice_order(2, **options)]
    device = torch.device("cpu")
    filler = CudaFiller(cache, order, intensity=intensity, slots=ring, device=device)
    drawn = list(prefetched(filler, order, ring=ring))
    for target, source in lazy_copies.pending:  # ring 0 records no event: its memory is its own
        target.copy_(source)
    for event in filler._shipped.values():
        event.synchronize()
    assert lazy_copies.waits == (len(order) if ring else 0)
    host = copies(cache.slices(2, **options, intensity=intensity))
    assert_same([(images, labels[:, 0]) for images, labels in drawn], host)


@pytest.mark.parametrize("dtype", CASES)
def test_cached_values_are_shipped_as_they_are(
    cache: Cache, lazy_copies: LazyCopies, dtype: str
) -> None:
    order = [tuple((case, 0, 6) for case in CASES[dtype])]
    device = torch.device("cpu")
    filler = CudaFiller(cache, order, intensity=WINDOW, slots=2, device=device)
    batch = filler.fill(0, order[0])
    assert str(batch.images.dtype) == f"torch.{dtype}"
    np.testing.assert_array_equal(batch.images[0, :, 1:9].numpy(), cache.raw("a"))


def test_without_a_device_cuda_is_refused_at_the_call(
    cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(BadInput, match=r"^device: is cuda:1, .* 0 CUDA devices; .*E_ARGUMENT"):
        cache.slices(device="cuda:1")


@pytest.mark.gpu
@needs_device
@pytest.mark.parametrize("ring", [0, 2, 3])
@pytest.mark.parametrize("intensity", POLICIES)
@pytest.mark.parametrize("dtype", CASES)
def test_cuda_batches_have_the_bits_of_host_batches(
    cache: Cache, intensity: Any, dtype: str, ring: int
) -> None:
    options: dict[str, Any] = {"cases": CASES[dtype], "intensity": intensity, "channels": 3}
    for feeder in (cache.slices, cache.volumes):
        drawn = list(feeder(2, **options, ring=ring, device="cuda"))  # kept: never overwritten
        assert all(images.is_cuda and labels.is_cuda for images, labels in drawn)
        assert all(images.stride(1) == 0 for images, _ in drawn)
        assert_same(drawn, copies(feeder(2, **options)))


@pytest.mark.gpu
@needs_device
@pytest.mark.parametrize("side_streams", [False, True])
def test_the_ring_waits_for_a_slow_device(cache: Cache, side_streams: bool) -> None:
    """The device is busy before every copy, so the host runs ahead as far as it may."""
    streams = [torch.cuda.Stream() for _ in range(2 if side_streams else 1)]
    batches = cache.slices(1, cases=CASES["int16"], ring=2, device="cuda")
    drawn: list[Batch] = []
    for index in range(len(cache.slice_order(1, cases=CASES["int16"]))):
        with torch.cuda.stream(streams[index % len(streams)]):
            torch.cuda._sleep(20_000_000)  # about 10 ms
            drawn += copies([next(batches)])
    torch.cuda.synchronize()
    assert_same(drawn, copies(cache.slices(1, cases=CASES["int16"])))


@pytest.mark.gpu
@needs_device
def test_drawing_does_not_wait_for_the_device(cache: Cache) -> None:
    batches = cache.slices(2, cases=CASES["int16"], ring=0, device="cuda")
    next(batches)  # opens the context, fills torch's pools
    torch.cuda.synchronize()
    try:
        torch.cuda.set_sync_debug_mode("error")
        torch.cuda._sleep(400_000_000)  # about 0.2 s
        busy = torch.cuda.Event()
        busy.record()
        next(batches)
        assert not busy.query()
    finally:
        torch.cuda.set_sync_debug_mode("default")


@pytest.mark.gpu
@needs_device
def test_the_current_device_is_taken_at_the_call_and_an_absent_one_refused(cache: Cache) -> None:
    images, _ = next(cache.slices(2, device="cuda"))
    assert images.device == torch.device("cuda", torch.cuda.current_device())
    with pytest.raises(BadInput, match=r"^device: is cuda:99, .*E_ARGUMENT"):
        cache.slices(2, device="cuda:99")
