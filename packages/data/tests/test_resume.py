"""What is drawn after an interruption is what would have been drawn, bit for bit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tomolift.data import Balance, Cache, Window, ZScore, build_cache, open_cache

Batch = tuple[torch.Tensor, torch.Tensor]

# the cache is only read, so that all draws may share it
shared = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
balances = st.builds(
    Balance,
    foreground=st.sampled_from([0.0, 1 / 3, 0.5, 1.0]),
    each_class=st.booleans(),
    slices=st.none() | st.integers(20, 50),
)


@pytest.fixture
def cache(task: Any, tmp_path: Any) -> Cache:
    """Two sizes, one case padded in depth, one float32."""
    task.add("a", seed=0, shape=(9, 8, 6))
    task.add("b", seed=1, shape=(9, 8, 3))
    task.add("c", seed=2, shape=(6, 11, 7))
    task.add("d", np.random.default_rng(3).normal(size=(9, 8, 6)).astype(np.float32))
    build_cache(task.folder, tmp_path / "cache", depth=6, short="pad", workers=1)
    return open_cache(tmp_path / "cache")


def copies(batches: Any) -> list[Batch]:
    return [(images.clone(), labels.clone()) for images, labels in batches]


def assert_same_bits(batches: list[Batch], others: list[Batch]) -> None:
    assert len(batches) == len(others)
    for (images, labels), (other_images, other_labels) in zip(batches, others, strict=True):
        assert images.shape == other_images.shape
        assert images.numpy().tobytes() == other_images.numpy().tobytes()
        assert torch.equal(labels, other_labels)


@shared
@given(data=st.data())
@pytest.mark.parametrize("kind", ["slices", "volumes"])
def test_the_rest_of_an_interrupted_epoch_is_the_same(
    cache: Cache, kind: str, data: st.DataObject
) -> None:
    world = data.draw(st.integers(1, 3), "world")
    options: dict[str, Any] = {
        "batch": data.draw(st.integers(1, 4) if kind == "slices" else st.just(1), "batch"),
        "seed": data.draw(st.integers(0, 2**40), "seed"),
        "epoch": data.draw(st.integers(0, 10**6), "epoch"),
        "rank": data.draw(st.integers(0, world - 1), "rank"),
        "world": world,
        "intensity": data.draw(st.sampled_from([Window(-500, 500), ZScore()]), "intensity"),
        "shuffle": data.draw(st.booleans(), "shuffle"),
    }
    if kind == "slices" and options["shuffle"]:
        options["balance"] = data.draw(st.none() | balances, "balance")
    feeder = getattr(cache, kind)
    start = data.draw(st.integers(0, 25), "start")
    whole = copies(feeder(**options, ring=data.draw(st.sampled_from([0, 2, 3]), "ring")))
    again = open_cache(cache.path)  # as another process would
    rest = copies(getattr(again, kind)(**options, start=start))
    assert_same_bits(rest, whole[start:])
