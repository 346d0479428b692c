from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest

from tomolift.data import BadInput, Cache, build_cache, open_cache
from tomolift.data._order import batches_of


def flat(batches: list[tuple[int, ...]]) -> list[int]:
    return list(itertools.chain.from_iterable(batches))


def test_every_item_comes_once_an_epoch() -> None:
    batches = batches_of(range(101), batch=8, seed=3, epoch=5)
    assert sorted(flat(batches)) == list(range(101))
    assert [len(batch) for batch in batches] == [8] * 12 + [5]


def test_the_order_never_changes_between_versions() -> None:
    assert flat(batches_of(range(10), batch=10, seed=1, epoch=2)) == [
        7, 1, 3, 0, 4, 8, 9, 2, 6, 5,
    ]  # fmt: skip


def test_seed_and_epoch_decide_the_order() -> None:
    def order(**options: int) -> list[int]:
        return flat(batches_of(range(50), batch=4, **options))

    assert order(seed=1, epoch=2) == order(seed=1, epoch=2)
    assert order(seed=1, epoch=2) != order(seed=1, epoch=3)
    assert order(seed=1, epoch=2) != order(seed=2, epoch=1)


def test_shuffled_ranks_share_whole_rounds_without_overlap() -> None:
    whole = batches_of(range(101), batch=8, seed=1)
    shares = [batches_of(range(101), batch=8, seed=1, rank=rank, world=3) for rank in range(3)]
    assert [len(share) for share in shares] == [4, 4, 4]
    dealt = [batch for round_ in zip(*shares, strict=True) for batch in round_]
    assert dealt == whole[:12]


def test_unshuffled_ranks_cover_everything_exactly_once() -> None:
    shares = [
        flat(batches_of(range(101), batch=8, shuffle=False, rank=rank, world=4))
        for rank in range(4)
    ]
    assert sorted(itertools.chain.from_iterable(shares)) == list(range(101))


@pytest.mark.parametrize(
    "options",
    [{"batch": 0}, {"batch": 1, "seed": -1}, {"batch": 1, "epoch": -1}, {"batch": 1, "rank": 1},
     {"batch": 1, "rank": -1}, {"batch": 1, "world": 0}, {"batch": 9, "world": 2}],
)  # fmt: skip
def test_impossible_shares_are_refused(options: dict[str, int]) -> None:
    with pytest.raises(BadInput, match="E_ARGUMENT"):
        batches_of(range(9), **options)


@pytest.fixture
def cache(task: Any, tmp_path: Path) -> Cache:
    task.add("b", shape=(5, 4, 3))
    task.add("a", shape=(5, 4, 8))
    build_cache(task.folder, tmp_path / "cache", depth=6, short="pad", workers=1)
    return open_cache(tmp_path / "cache")


def test_unshuffled_slices_rise_case_by_case_and_leave_padding_out(cache: Cache) -> None:
    assert cache.slice_order(4, shuffle=False) == [
        (("b", 2), ("b", 3), ("b", 4), ("a", 0)),
        (("a", 1), ("a", 2), ("a", 3), ("a", 4)),
        (("a", 5),),
    ]
    assert cache.slice_order(9, cases=["a", "b"], shuffle=False)[0][0] == ("a", 0)


def test_volumes_are_ordered_like_slices(cache: Cache) -> None:
    assert cache.volume_order(2, shuffle=False) == [("b", "a")]
    assert cache.volume_order(1, shuffle=False, rank=1, world=2) == [("a",)]


@pytest.mark.parametrize("cases", [[], ["nobody"], ["a", "a"]])
def test_no_unknown_or_repeated_cases_are_refused(cache: Cache, cases: list[str]) -> None:
    with pytest.raises(BadInput, match="E_ARGUMENT"):
        cache.slice_order(4, cases=cases)
