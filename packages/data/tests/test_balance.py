from __future__ import annotations

import itertools
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tomolift.data import BadInput, Balance, Cache, build_cache, open_cache
from tomolift.data._balance import draw

Item = tuple[str, int]


def shows(*classes: tuple[int, ...], num_classes: int = 3) -> np.ndarray[Any, Any]:
    """(slices, foreground classes) of slices that show these classes."""
    table = np.zeros((len(classes), num_classes - 1), bool)
    for slice_, shown in zip(table, classes, strict=True):
        slice_[[label - 1 for label in shown]] = True
    return table


def flat(batches: list[tuple[Item, ...]]) -> list[Item]:
    return list(itertools.chain.from_iterable(batches))


@pytest.fixture
def cache(task: Any, tmp_path: Path) -> Cache:
    """20 valid slices of two cases, 4 of which show foreground; ``b`` is padded in depth."""
    for name, depth, shown in (("a", 12, {3: 1, 4: 2, 5: 1}), ("b", 8, {6: 1})):
        label = np.zeros((5, 4, depth), np.uint8)
        for z, shown_class in shown.items():
            label[2, 1:3, z] = shown_class
        task.add(name, label=label, image=np.full(label.shape, 7, np.int16))
    build_cache(task.folder, tmp_path / "cache", depth=12, short="pad", workers=1)
    return open_cache(tmp_path / "cache")


def shows_foreground(cache: Cache, item: Item) -> bool:
    case, z = item
    return bool(np.isin(cache.labels(case)[z], [1, 2]).any())


def test_every_slice_of_a_kind_comes_equally_often_over_the_epochs(cache: Cache) -> None:
    """20 slices, 4 with foreground: an epoch has 5 certain draws of those and 15 of all."""
    counts: Counter[Item] = Counter()
    for epoch in range(4):
        order = flat(cache.slice_order(6, balance=Balance(foreground=0.25), epoch=epoch))
        assert len(order) == 20
        counts.update(order)
    assert len(counts) == 20
    for item, count in counts.items():
        certain = 4 * 5 // 4 if shows_foreground(cache, item) else 0
        assert count == 4 * 15 // 20 + certain


@given(
    share=st.floats(0, 1),
    total=st.integers(1, 60),
    window=st.integers(1, 20),
    epoch=st.integers(0, 3),
    seed=st.integers(0, 3),
)
def test_any_draws_in_a_row_hold_their_share_of_foreground(
    share: float, total: int, window: int, epoch: int, seed: int
) -> None:
    table = shows(*[(1,) if index in (4, 9) else () for index in range(30)])
    drawn = draw(Balance(foreground=share, slices=total), table, seed=seed, epoch=epoch)
    assert len(drawn) == total
    is_foreground = np.isin(drawn, (4, 9))
    certain = round(total * share)
    for first in range(total - window + 1):
        assert is_foreground[first : first + window].sum() >= window * certain // total


def test_with_a_share_of_1_every_slice_shows_foreground(cache: Cache) -> None:
    order = flat(cache.slice_order(5, balance=Balance(foreground=1.0)))
    assert len(order) == 20
    assert all(shows_foreground(cache, item) for item in order)
    assert set(Counter(order).values()) == {5}


def test_a_share_of_0_draws_every_slice_equally_often(cache: Cache) -> None:
    order = flat(cache.slice_order(6, balance=Balance(foreground=0.0, slices=60)))
    assert set(Counter(order).values()) == {3}
    assert len(set(order)) == 20


def test_an_epoch_has_as_many_slices_as_wanted_and_none_twice_while_others_wait() -> None:
    table = shows(*[()] * 50, *[(1,)] * 50)
    epochs = [draw(Balance(foreground=0.5, slices=40), table, seed=3, epoch=e) for e in range(5)]
    assert [len(drawn) for drawn in epochs] == [40] * 5
    certain = [index for drawn in epochs for index in drawn[1::2]]  # every second draw
    assert sorted(certain[:50]) == list(range(50, 100))
    assert sorted(certain[50:]) == list(range(50, 100))
    rest = [index for drawn in epochs for index in drawn[0::2]]
    assert sorted(rest) == list(range(100))


def test_each_class_takes_its_turn_however_rare() -> None:
    """Class 1 in 90 slices, class 2 in none, class 3 in two: 1 and 3 take turns."""
    table = shows(*[()] * 200, *[(1,)] * 90, (3,), (3,), num_classes=4)
    balance = Balance(foreground=1.0, each_class=True, slices=101)
    drawn = [index for epoch in range(2) for index in draw(balance, table, seed=0, epoch=epoch)]
    assert [index >= 290 for index in drawn] == [False, True] * 101
    assert sorted(Counter(drawn[1::2]).values()) == [50, 51]
    assert sorted(Counter(drawn[0::2]).values()) == [1] * 79 + [2] * 11


def test_a_slice_with_a_rare_and_a_common_class_has_the_turns_of_both() -> None:
    table = shows((1,), (1,), (1, 2))
    balance = Balance(foreground=1.0, each_class=True, slices=12)
    assert Counter(draw(balance, table, seed=0, epoch=0)) == {0: 2, 1: 2, 2: 2 + 6}


def test_the_draws_never_change_between_versions() -> None:
    table = shows((), (1,), (), (2,), (1, 2), ())
    balance = Balance(foreground=0.5, each_class=True, slices=8)
    assert draw(balance, table, seed=1, epoch=2) == [1, 4, 0, 3, 4, 1, 2, 4]


def test_seed_and_epoch_decide_the_draws(cache: Cache) -> None:
    def order(seed: int, epoch: int) -> list[Item]:
        return flat(cache.slice_order(4, balance=Balance(), seed=seed, epoch=epoch))

    assert order(1, 2) == order(1, 2)
    assert len({tuple(order(*key)) for key in ((1, 2), (2, 1), (1, 3), (0, 2))}) == 4


def test_ranks_share_the_draws_of_one_process(cache: Cache) -> None:
    options: dict[str, Any] = {"balance": Balance(slices=40), "seed": 5, "epoch": 1}
    whole = cache.slice_order(3, **options)
    shares = [cache.slice_order(3, **options, rank=rank, world=4) for rank in range(4)]
    dealt = [batch for round_ in zip(*shares, strict=True) for batch in round_]
    assert dealt == whole[:12]


def test_slices_of_nothing_but_padding_are_never_drawn(cache: Cache) -> None:
    order = flat(cache.slice_order(6, balance=Balance(foreground=0.1, slices=500)))
    assert len(set(order)) == 20
    assert all((cache.labels(case)[z] != 255).any() for case, z in order)


def test_no_voxel_is_read(cache: Cache) -> None:
    expected = cache.slice_order(4, balance=Balance(), epoch=3)
    again = open_cache(cache.path)
    for path in cache.path.glob("volumes/*.npy"):
        path.unlink()
    assert again.slice_order(4, balance=Balance(), epoch=3) == expected


def test_the_feeder_yields_what_was_drawn(cache: Cache) -> None:
    balance = Balance(each_class=True, slices=10)
    order = cache.slice_order(4, balance=balance, seed=2)
    fed = [labels.clone() for _, labels in cache.slices(4, balance=balance, seed=2)]
    for labels, items in zip(fed, order, strict=True):
        expected = np.stack([cache.labels(case)[z] for case, z in items])
        np.testing.assert_array_equal(labels.numpy(), expected)


@pytest.mark.parametrize(
    ("options", "problem"),
    [({"foreground": 1.5}, "foreground is 1.5, expected 0..1"),
     ({"foreground": float("nan")}, "foreground is nan, expected 0..1"),
     ({"slices": 0}, "slices is 0, expected >= 1")],
)  # fmt: skip
def test_an_impossible_balance_is_refused(options: Any, problem: str) -> None:
    with pytest.raises(BadInput, match=rf"^balance: {problem}; .* \[E_ARGUMENT\]$"):
        Balance(**options)


def test_cases_without_foreground_cannot_be_balanced(task: Any, tmp_path: Path) -> None:
    task.add("a", label=np.zeros((5, 4, 3), np.uint8), image=np.ones((5, 4, 3), np.int16))
    build_cache(task.folder, tmp_path / "empty", depth=3, workers=1)
    empty = open_cache(tmp_path / "empty")
    with pytest.raises(BadInput, match=r"^balance: wants 1 slices with foreground, .* none"):
        empty.slices(2, balance=Balance())
    assert len(empty.slice_order(2, balance=Balance(foreground=0.0))) == 2


@pytest.mark.parametrize(
    "options",
    [{"shuffle": False}, {"seed": -1}, {"epoch": -1}, {"rank": 1}, {"world": 9}],
)
def test_options_that_contradict_a_balance_are_refused(cache: Cache, options: Any) -> None:
    with pytest.raises(BadInput, match="E_ARGUMENT"):
        cache.slices(4, balance=Balance(), **options)
