"""Problems drawn by hypothesis, every op against its twin in float64."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from tomolift.ops import reference, upsampled_argmax, upsampled_cross_entropy, voxel_cross_entropy

LOGITS_DTYPES = (torch.float32, torch.bfloat16, torch.float16, torch.float64)
LABEL_DTYPES = (torch.uint8, torch.int16, torch.int32, torch.int64)
INF, NAN = float("inf"), float("nan")
ROUNDING = {
    torch.float64: 2**-53, torch.float32: 2**-24, torch.bfloat16: 2**-8, torch.float16: 2**-11
}  # fmt: skip

# every remainder of the vector widths and of the blocks of 64 and 256, single samples included
lengths = st.one_of(st.integers(1, 9), st.sampled_from([15, 16, 17, 31, 33]))
widths = st.one_of(lengths, st.sampled_from([63, 64, 65, 255, 257]))
classes_drawn = st.one_of(st.integers(1, 12), st.just(30))
layouts = st.sampled_from(["packed", "last", "turned", "cut", "stepped", "repeated", "shifted"])
drawn = settings(max_examples=250, deadline=None, derandomize=True)


@dataclass(frozen=True, kw_only=True)
class Problem:
    logits: Tensor = field(repr=False)
    labels: Tensor = field(repr=False)
    options: dict[str, Any]
    grad_output: Tensor | float = field(repr=False)


@drawn
@given(data=st.data())
def test_drawn_dense_problems_agree_with_float64(data: st.DataObject) -> None:
    size = data.draw(sizes())
    problem = data.draw(problems(size, size, at_ignored=(0.0, NAN, INF, -INF)))
    memories = ["store", "recompute"]
    if contiguous_somehow(problem.logits):
        memories.append("inplace")
    memory = data.draw(st.sampled_from(memories))
    # a float32 shift of all logits leaves their differences good to a rounding each
    compare(voxel_cross_entropy, problem, near=0.0, overlap=1.0, memory=memory)


@drawn
@given(data=st.data())
def test_drawn_upsampled_problems_agree_with_float64(data: st.DataObject) -> None:
    size = data.draw(sizes())
    low_size = tuple(data.draw(lengths) for _ in size)
    problem = data.draw(problems(low_size, size))
    sampling = data.draw(samplings(len(size)))
    ones = torch.ones(1, 1, *low_size, dtype=torch.float64, requires_grad=True)
    high = reference.upsample(ones, size, **sampling)
    (shares,) = torch.autograd.grad(high.sum(), ones)
    compare(
        upsampled_cross_entropy,
        problem,
        near=interpolation_error(problem.logits),
        overlap=float(shares.max()),
        **sampling,
    )


@drawn
@given(data=st.data())
def test_drawn_predictions_are_maxima_of_the_float64_logits(data: st.DataObject) -> None:
    size = data.draw(sizes())
    problem = data.draw(problems(tuple(data.draw(lengths) for _ in size), size))
    sampling = data.draw(samplings(len(size)))
    predicted = upsampled_argmax(problem.logits, size, **sampling)
    high = reference.upsample(problem.logits.double(), size, **sampling)
    assert predicted.dtype == torch.uint8
    chosen = high.gather(1, predicted.long().unsqueeze(1)).squeeze(1)
    assert bool((high.amax(dim=1) - chosen <= interpolation_error(problem.logits)).all())


def compare(
    op: Callable[..., Any], problem: Problem, *, near: float, overlap: float, **extra: Any
) -> None:
    """Hold an op against its twin: tolerances follow from the number of roundings.

    near: how far an up-sampled logit may be off; overlap: the voxels that add to one gradient.
    """
    options = {**problem.options, **extra}
    twin = getattr(reference, op.__name__)
    theirs = run(twin, problem.logits.double(), problem, options)
    ours = run(op, problem.logits, problem, options)
    precise = problem.logits.dtype == torch.float64
    weight = options["weight"]
    heaviest = 1.0 if weight is None else max(float(weight.abs().max()), 1e-6)
    noise = 1e-12 if precise else 2e-6 + 2 * near
    torch.testing.assert_close(
        ours[0].double(), theirs[0], rtol=2 * noise, atol=noise * heaviest * summed(problem),
        equal_nan=True,
    )  # fmt: skip
    assert ours[0].dtype == (torch.float64 if precise else torch.float32)
    largest = float(torch.as_tensor(problem.grad_output).abs().max()) * heaviest * overlap
    if options["reduction"] == "mean":
        largest /= max(valid_weight(theirs[1], weight), 1e-300)
    half = 2**-25 if problem.logits.dtype == torch.float16 else 0.0  # of its subnormal spacing
    torch.testing.assert_close(
        ours[2].double(), theirs[2], rtol=1.01 * ROUNDING[problem.logits.dtype] + noise,
        atol=noise * largest + half, equal_nan=True,
    )  # fmt: skip
    assert ours[2].dtype == problem.logits.dtype
    assert torch.equal(ours[1].sum(dim=1), theirs[1].sum(dim=1))
    assert int((ours[1] - theirs[1]).abs().sum()) <= 2 * ties(op, problem, near, extra)


def run(
    op: Callable[..., Any], logits: Tensor, problem: Problem, options: dict[str, Any]
) -> tuple[Tensor, Tensor, Tensor]:
    leaf = logits.detach().requires_grad_()
    given = leaf.clone() if options.get("memory") == "inplace" else leaf
    loss, confusion = op(given, problem.labels, **options)
    seed = torch.as_tensor(problem.grad_output).to(loss.dtype).expand_as(loss)
    (gradient,) = torch.autograd.grad(loss, leaf, seed)
    return loss.detach(), confusion, gradient


def interpolation_error(logits: Tensor) -> float:
    """Weights, products and sums along three axes, each rounded once."""
    if logits.dtype == torch.float64:
        return 0.0
    return 8 * 2**-24 * float(logits.double().abs().max())


def ties(op: Callable[..., Any], problem: Problem, near: float, extra: dict[str, Any]) -> int:
    """The voxels whose two largest logits are too near each other to tell."""
    if op is voxel_cross_entropy or problem.logits.shape[1] == 1:
        return 0
    high = reference.upsample(problem.logits.double(), problem.labels.shape[1:], **extra)
    first, second = high.topk(2, dim=1).values.unbind(dim=1)
    return int((first - second <= 2 * near + 1e-12).sum())


def summed(problem: Problem) -> float:
    return float(problem.labels.numel()) if problem.options["reduction"] == "sum" else 1.0


def valid_weight(confusion: Tensor, weight: Tensor | None) -> float:
    counts = confusion.sum(dim=1).double()
    return float(counts.sum() if weight is None else counts @ weight.double())


def contiguous_somehow(logits: Tensor) -> bool:
    last = torch.channels_last if logits.dim() == 4 else torch.channels_last_3d
    return logits.is_contiguous() or logits.is_contiguous(memory_format=last)


@st.composite
def sizes(draw: st.DrawFn) -> tuple[int, ...]:
    depth = [draw(st.integers(1, 5))] if draw(st.booleans()) else []
    return (*depth, draw(lengths), draw(widths))


@st.composite
def samplings(draw: st.DrawFn, spatial_dims: int) -> dict[str, Any]:
    if draw(st.booleans()):
        return {"stride": tuple(draw(st.integers(1, 9)) for _ in range(spatial_dims))}
    return {"align_corners": draw(st.booleans())}


@st.composite
def problems(
    draw: st.DrawFn,
    low_size: Sequence[int],
    size: Sequence[int],
    at_ignored: Sequence[float] = (0.0,),
) -> Problem:
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    batch, classes = draw(st.integers(1, 3)), draw(classes_drawn)
    logits = draw(st.sampled_from([1, 4, 10])) * torch.randn(
        batch, classes, *low_size, generator=generator
    )
    labels = torch.randint(0, classes, (batch, *size), generator=generator)
    ignore_index = draw(st.sampled_from([None, 0, classes - 1, 99]))
    check_labels = draw(st.sampled_from(["raise", "defer", "ignore"]))
    stray = {"raise": ignore_index, "defer": ignore_index, "ignore": 77}[check_labels]
    if stray is not None:
        chosen = torch.rand(labels.shape, generator=generator) < draw(st.sampled_from([0.1, 0.9]))
        labels = torch.where(chosen, stray, labels)
    blemish = draw(st.sampled_from(at_ignored))
    if blemish and ignore_index is not None:
        logits = torch.where((labels == ignore_index).unsqueeze(1), blemish, logits)
    reduction = draw(st.sampled_from(["none", "mean", "sum"]))
    # powers of two, so that scaling a stored gradient does not round it again
    grad_output: Tensor | float = draw(st.sampled_from([1.0, -2.0, 0.0, 64.0]))
    if reduction == "none":
        grad_output = torch.randn(labels.shape, generator=generator)
    options = {
        "weight": draw(st.sampled_from([None, torch.rand(classes, generator=generator)])),
        "ignore_index": ignore_index,
        "label_smoothing": draw(st.sampled_from([0.0, 0.2, 1.0])),
        "reduction": reduction,
        "check_labels": check_labels,
    }
    return Problem(
        logits=lay_out(logits.to(draw(st.sampled_from(LOGITS_DTYPES))), draw(layouts), spare=NAN),
        labels=lay_out(labels.to(draw(st.sampled_from(LABEL_DTYPES))), draw(layouts), spare=111),
        options=options,
        grad_output=grad_output,
    )


def lay_out(tensor: Tensor, layout: str, *, spare: float) -> Tensor:
    """The same values somewhere else in memory, `spare` in the elements between them."""
    if layout == "last":
        return tensor.movedim(1, -1).contiguous().movedim(-1, 1)
    if layout == "turned":
        return tensor.transpose(-1, -2).contiguous().transpose(-1, -2)
    if layout == "cut":
        around = tensor.new_full([n + 3 for n in tensor.shape], spare)
        return around[tuple(slice(1, n + 1) for n in tensor.shape)].copy_(tensor)
    if layout == "stepped":
        sparse = tensor.new_full([2 * n for n in tensor.shape], spare)
        return sparse[tuple(slice(0, 2 * n, 2) for n in tensor.shape)].copy_(tensor)
    if layout == "shifted":
        flat = tensor.new_full((tensor.numel() + 1,), spare)
        return flat[1:].view(tensor.shape).copy_(tensor)
    # "repeated" reads the first sample for every one
    return tensor[:1].expand_as(tensor) if layout == "repeated" else tensor
