from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor

from tomolift.ops import reference


@dataclass(frozen=True)
class Outcome:
    loss: Tensor
    confusion: Tensor
    gradient: Tensor


@pytest.fixture(autouse=True)
def _two_threads_and_a_seed() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    torch.manual_seed(0)
    yield
    torch.set_num_threads(before)


@pytest.fixture(autouse=True)
def _unwritten_memory_is_nan(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fills new tensors with NaN or the largest integer, so that an unwritten element shows.

    Not on CUDA, where the twin's NLLLoss has no deterministic implementation.
    """
    if request.node.get_closest_marker("gpu") is None:
        torch.use_deterministic_algorithms(True)
    yield
    torch.use_deterministic_algorithms(False)


@pytest.fixture
def evaluate() -> Callable[..., Outcome]:
    """Runs an op and its backward pass; `grad_output` defaults to ones."""

    def run(
        op: Callable[..., tuple[Tensor, Tensor]],
        logits: Tensor,
        labels: Tensor,
        *,
        grad_output: Tensor | float = 1.0,
        **options: Any,
    ) -> Outcome:
        leaf = logits.detach().requires_grad_()  # no clone: that would straighten odd strides
        given = leaf.clone() if options.get("memory") == "inplace" else leaf
        loss, confusion = op(given, labels, **options)
        seed = torch.as_tensor(grad_output, dtype=loss.dtype, device=loss.device).expand_as(loss)
        (gradient,) = torch.autograd.grad(loss, leaf, seed)
        return Outcome(loss.detach(), confusion, gradient)

    return run


@pytest.fixture
def agree(evaluate: Callable[..., Outcome]) -> Callable[..., Outcome]:
    """Holds an op against its twin in float64; returns the op's outcome.

    Tolerances: the loss and float32 gradients are good to a few float32 roundings; bfloat16 and
    float16 gradients are rounded once, to 8 and 11 bits.
    """

    def check(
        op: Callable[..., tuple[Tensor, Tensor]],
        logits: Tensor,
        labels: Tensor,
        *,
        ties: int = 0,
        **options: Any,
    ) -> Outcome:
        ours = evaluate(op, logits, labels, **options)
        if options.get("weight") is not None:
            options["weight"] = options["weight"].double()
        twin = getattr(reference, op.__name__)
        theirs = evaluate(twin, logits.double(), labels, **options)
        rounding = {
            torch.float64: 1e-12, torch.float32: 2e-6, torch.bfloat16: 2**-8, torch.float16: 2**-11
        }[logits.dtype]  # fmt: skip
        loss_rounding = 1e-12 if logits.dtype == torch.float64 else 2e-6
        torch.testing.assert_close(
            ours.loss.double(), theirs.loss, rtol=loss_rounding, atol=loss_rounding, equal_nan=True
        )
        finite = theirs.gradient[theirs.gradient.isfinite()]
        scale = float(finite.abs().max()) if finite.numel() else 1.0
        half = 1e-7 if logits.dtype == torch.float16 else 0.0  # its subnormal spacing is 6e-8
        torch.testing.assert_close(
            ours.gradient.double(),
            theirs.gradient,
            rtol=rounding,
            atol=2e-6 * scale + half if rounding > 1e-11 else 1e-12 * scale,
            equal_nan=True,
        )
        assert int((ours.confusion - theirs.confusion).abs().sum()) <= 2 * ties
        assert ours.gradient.dtype == logits.dtype
        return ours

    return check
