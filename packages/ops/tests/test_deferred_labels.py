"""check_labels="defer": out-of-range labels reported by a later call, once."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest
import torch

from tomolift.ops import check_deferred_labels, upsampled_cross_entropy, voxel_cross_entropy

LOGITS = torch.zeros(2, 3, 4, 5)
GOOD = torch.zeros(2, 4, 5, dtype=torch.int64)


def bad(value: int, *position: int) -> torch.Tensor:
    labels = GOOD.clone()
    labels[position] = value
    return labels


@pytest.fixture(autouse=True)
def _nothing_pending() -> Iterator[None]:
    check_deferred_labels()
    yield
    check_deferred_labels()


@pytest.fixture(params=[voxel_cross_entropy, upsampled_cross_entropy], ids=["dense", "upsampled"])
def op(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.mark.parametrize("value", [3, -100, 256, 2**32 + 1, -(2**63)])
def test_the_check_names_value_and_first_position_once(op: Any, value: int) -> None:
    labels = bad(value, 1, 2, 3)
    labels[1, 3, 0] = 7
    op(LOGITS, labels, check_labels="defer")
    with pytest.raises(IndexError, match=rf"labels has {value} at \(1, 2, 3\).* 2 of 40 labels"):
        check_deferred_labels()
    check_deferred_labels()


def test_a_later_call_of_either_op_raises_it_once(op: Any) -> None:
    voxel_cross_entropy(LOGITS, bad(9, 0, 1, 2), check_labels="defer")
    with pytest.raises(IndexError, match=r"labels has 9 at \(0, 1, 2\)"):
        op(LOGITS, GOOD, check_labels="defer")
    op(LOGITS, GOOD, check_labels="defer")
    check_deferred_labels()


def test_the_report_outlives_the_labels(op: Any) -> None:
    labels = bad(9, 0, 0, 1)
    op(LOGITS, labels, check_labels="defer")
    labels.zero_()
    with pytest.raises(IndexError, match=r"labels has 9 at \(0, 0, 1\)"):
        check_deferred_labels()


def test_a_call_that_raises_an_earlier_report_has_done_nothing_itself(op: Any) -> None:
    op(LOGITS, bad(5, 0, 0, 0), check_labels="defer")
    with pytest.raises(IndexError, match="labels has 5"):
        op(LOGITS, bad(6, 0, 0, 0), check_labels="defer")
    check_deferred_labels()


def test_labels_that_are_ignored_are_no_report(op: Any) -> None:
    op(LOGITS, bad(9, 0, 0, 0), check_labels="ignore")
    op(LOGITS, bad(9, 0, 0, 0), ignore_index=9, check_labels="defer")
    check_deferred_labels()


def test_good_labels_leave_nothing_behind(op: Any) -> None:
    for _ in range(300):
        op(LOGITS, GOOD, check_labels="defer")
    check_deferred_labels()


def test_the_results_are_those_of_ignoring(op: Any, evaluate: Any) -> None:
    logits, labels = torch.randn(2, 3, 4, 5), bad(2**32 + 1, 1, 1, 1)
    deferred = evaluate(op, logits, labels, check_labels="defer")
    ignored = evaluate(op, logits, labels, check_labels="ignore")
    with pytest.raises(IndexError, match="labels has 4294967297"):
        check_deferred_labels()
    for ours, theirs in zip(vars(deferred).values(), vars(ignored).values(), strict=True):
        assert torch.equal(ours, theirs)


def test_the_default_on_the_cpu_raises_at_once(op: Any) -> None:
    with pytest.raises(IndexError, match="labels has 9"):
        op(LOGITS, bad(9, 0, 0, 0))
    check_deferred_labels()


def test_reports_of_several_threads_are_raised_once_each(op: Any) -> None:
    raised: list[int] = []
    ran: list[int] = []

    def number(error: IndexError) -> int:
        return int(str(error).split(" at ")[0].removeprefix("labels has "))

    def call(value: int) -> None:
        for _ in range(50):
            try:
                op(LOGITS, bad(value, 0, 0, 0), check_labels="defer")
            except IndexError as error:
                raised.append(number(error))
            else:
                ran.append(value)

    callers = [threading.Thread(target=call, args=(value,)) for value in (4, 5, 6)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    while len(raised) < len(ran):
        with pytest.raises(IndexError) as error:
            check_deferred_labels()
        raised.append(number(error.value))
    check_deferred_labels()
    assert sorted(raised) == sorted(ran)
    assert len(ran) > 50


def test_a_call_that_looks_at_once_raises_what_is_pending_too() -> None:
    logits, wrong = torch.randn(1, 3, 4, 5), torch.full((1, 4, 5), 9)
    voxel_cross_entropy(logits, wrong, check_labels="defer")
    with pytest.raises(IndexError, match="labels has 9"):
        voxel_cross_entropy(logits, torch.zeros(1, 4, 5, dtype=torch.uint8))
    check_deferred_labels()
