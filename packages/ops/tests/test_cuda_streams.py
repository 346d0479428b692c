"""Determinism, streams, graphs, and that nothing waits for the device."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch

from tomolift.ops import (
    build_info,
    check_deferred_labels,
    upsampled_argmax,
    upsampled_cross_entropy,
    voxel_cross_entropy,
)

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
    pytest.mark.skipif(not build_info()["cuda"], reason="needs a build with the CUDA part"),
]

SIZES = {
    voxel_cross_entropy: ((2, 3, 20, 90, 90), (2, 20, 90, 90)),
    upsampled_cross_entropy: ((2, 3, 4, 12, 12), (2, 20, 90, 90)),
}


@pytest.fixture(params=SIZES, ids=["dense", "upsampled"])
def op(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture(autouse=True)
def _nothing_pending() -> Iterator[None]:
    check_deferred_labels()
    yield
    check_deferred_labels()


def draw(op: Any, dtype: torch.dtype = torch.float32) -> tuple[torch.Tensor, torch.Tensor]:
    size, label_size = SIZES[op]
    logits = torch.randn(size, device="cuda").to(dtype)
    return logits, torch.randint(0, 3, label_size, device="cuda", dtype=torch.uint8)


def same_bits(one: Any, other: Any) -> bool:
    pairs = zip(vars(one).values(), vars(other).values(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


@pytest.mark.parametrize("reduction", ["mean", "none"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_every_run_gives_the_same_bits(
    evaluate: Any, op: Any, reduction: str, dtype: torch.dtype
) -> None:
    logits, labels = draw(op, dtype)
    first = evaluate(op, logits, labels, reduction=reduction)
    assert all(
        same_bits(first, evaluate(op, logits, labels, reduction=reduction)) for _ in range(5)
    )


def test_deterministic_algorithms_are_no_obstacle(evaluate: Any, op: Any) -> None:
    logits, labels = draw(op)
    usual = evaluate(op, logits, labels)
    torch.use_deterministic_algorithms(True)
    assert same_bits(usual, evaluate(op, logits, labels))


@pytest.mark.parametrize("reduction", ["mean", "none"])
@pytest.mark.parametrize("check_labels", ["defer", "ignore"])
@pytest.mark.parametrize("weighted", [False, True])
def test_neither_pass_waits_for_the_device(
    evaluate: Any, op: Any, reduction: str, check_labels: str, weighted: bool
) -> None:
    logits, labels = draw(op)
    weight = torch.rand(3, device="cuda") if weighted else None
    seed = torch.ones((), device="cuda")
    options = {"reduction": reduction, "check_labels": check_labels, "weight": weight}
    evaluate(op, logits, labels, grad_output=seed, **options)
    torch.cuda.set_sync_debug_mode("error")
    try:
        evaluate(op, logits, labels, grad_output=seed, **options)
        upsampled_argmax(logits, labels.shape[1:])
    finally:
        torch.cuda.set_sync_debug_mode("default")


def test_the_work_goes_to_the_current_stream(evaluate: Any, op: Any) -> None:
    logits, labels = draw(op)
    expected = evaluate(op, logits, labels)
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        # were it elsewhere, it would not wait for this, and read what is not there yet
        torch.cuda._sleep(50_000_000)
        late = torch.zeros_like(logits).add_(logits)
        outcome = evaluate(op, late, labels)
    stream.synchronize()
    assert same_bits(outcome, expected)


@pytest.mark.parametrize("check_labels", ["defer", "ignore"])
@pytest.mark.parametrize("reduction", ["mean", "none"])
def test_a_captured_graph_gives_new_results_for_new_inputs(
    evaluate: Any, op: Any, check_labels: str, reduction: str
) -> None:
    options = {"reduction": reduction, "check_labels": check_labels}
    seed = torch.ones((), device="cuda")
    logits, labels = draw(op)
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        evaluate(op, logits, labels, grad_output=seed, **options)
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        captured = evaluate(op, logits, labels, grad_output=seed, **options)
    for _ in range(2):
        new_logits, new_labels = draw(op)
        logits.copy_(new_logits)
        labels.copy_(new_labels)
        graph.replay()
        assert same_bits(captured, evaluate(op, new_logits, new_labels, **options))


def test_a_replayed_graph_reports_labels_out_of_range(op: Any) -> None:
    logits, labels = draw(op)
    op(logits, labels, check_labels="defer")
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        op(logits, labels, check_labels="defer")
    graph.replay()
    check_deferred_labels()
    labels[1, 2, 3, 4] = 77
    graph.replay()
    with pytest.raises(IndexError, match=r"labels has 77 at \(1, 2, 3, 4\)"):
        check_deferred_labels()
    labels[1, 2, 3, 4] = 0
    graph.replay()
    check_deferred_labels()
