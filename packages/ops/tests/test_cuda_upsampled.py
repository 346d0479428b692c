"""The up-sampled ops' CUDA kernels against the twin in float64."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from tomolift.ops import build_info, reference, upsampled_argmax, upsampled_cross_entropy

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
    pytest.mark.skipif(not build_info()["cuda"], reason="needs a build with the CUDA part"),
]

SAMPLINGS = [{"align_corners": True}, {"align_corners": False}, {"stride": (4, 8, 8)}]
# up, down, equal, single samples, cells that are cut into pieces, odd and even
SIZES = [
    ((3, 5, 6), (12, 33, 47)), ((2, 19, 4), (5, 40, 17)), ((1, 1, 1), (3, 4, 5)),
    ((4, 6, 7), (4, 6, 7)), ((6, 9, 80), (3, 4, 35)), ((3, 4, 5), (1, 1, 1)),
    ((1, 1, 2), (20, 40, 270)), ((9, 16, 16), (70, 128, 128)),
]  # fmt: skip


def problem(
    low_size: tuple[int, ...],
    size: tuple[int, ...],
    *,
    classes: int = 3,
    dtype: torch.dtype = torch.float32,
    labels: torch.dtype = torch.uint8,
) -> tuple[torch.Tensor, torch.Tensor]:
    low = (3 * torch.randn(2, classes, *low_size, device="cuda")).to(dtype)
    return low, torch.randint(0, classes, (2, *size), device="cuda").to(labels)


@pytest.mark.parametrize("sampling", SAMPLINGS)
@pytest.mark.parametrize(("low_size", "size"), SIZES)
def test_volumes_agree_with_float64(agree: Any, low_size: Any, size: Any, sampling: Any) -> None:
    agree(upsampled_cross_entropy, *problem(low_size, size), ties=2, **sampling)


@pytest.mark.parametrize("sampling", [*SAMPLINGS[:2], {"stride": (8, 5)}])
@pytest.mark.parametrize(("low_size", "size"), [((5, 6), (33, 300)), ((17, 9), (16, 8))])
def test_images_agree_with_float64(agree: Any, low_size: Any, size: Any, sampling: Any) -> None:
    agree(upsampled_cross_entropy, *problem(low_size, size), ties=2, **sampling)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("labels", [torch.uint8, torch.int16, torch.int32, torch.int64])
def test_every_pair_of_types_agrees_with_float64(agree: Any, dtype: Any, labels: Any) -> None:
    low, truth = problem((2, 5, 4), (9, 33, 29), dtype=dtype, labels=labels)
    agree(upsampled_cross_entropy, low, truth, ties=2)


@pytest.mark.parametrize("classes", [1, 2, 4, 5, 6, 7, 8, 9, 21, 40])
@pytest.mark.parametrize("weighted", [False, True])
def test_any_number_of_classes_agrees_with_float64(
    agree: Any, classes: int, weighted: bool
) -> None:
    weight = torch.linspace(0.5, 2.0, classes, device="cuda") if weighted else None
    low, labels = problem((2, 5, 4), (9, 33, 29), classes=classes)
    agree(upsampled_cross_entropy, low, labels, ties=2, weight=weight)


@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
@pytest.mark.parametrize("label_smoothing", [0.0, 0.1])
@pytest.mark.parametrize("weight", [None, [0.3, 1.0, 2.5]])
@pytest.mark.parametrize("ignore_index", [None, 1])
def test_options_have_torchs_definitions(
    agree: Any, reduction: str, label_smoothing: float, weight: Any, ignore_index: int | None
) -> None:
    agree(
        upsampled_cross_entropy,
        *problem((2, 5, 4), (9, 33, 29)),
        ties=2,
        reduction=reduction,
        label_smoothing=label_smoothing,
        weight=None if weight is None else torch.tensor(weight, device="cuda"),
        ignore_index=ignore_index,
    )


def test_a_gradient_for_every_voxel_flows_back(evaluate: Any) -> None:
    low, labels = problem((2, 5, 4), (9, 33, 29))
    seed = torch.randn(2, 9, 33, 29, device="cuda")
    ours = evaluate(upsampled_cross_entropy, low, labels, reduction="none", grad_output=seed)
    theirs = evaluate(
        reference.upsampled_cross_entropy, low.double(), labels, reduction="none", grad_output=seed
    )
    torch.testing.assert_close(ours.gradient.double(), theirs.gradient, rtol=1e-5, atol=1e-5)


def test_any_strides_give_the_same_bits(evaluate: Any) -> None:
    low, labels = problem((2, 5, 4), (9, 33, 29))
    last = low.contiguous(memory_format=torch.channels_last_3d)
    turned = low.transpose(1, 4).contiguous().transpose(1, 4)
    planes = evaluate(upsampled_cross_entropy, low, labels)
    for other in (last, turned):
        outcome = evaluate(upsampled_cross_entropy, other, labels)
        assert torch.equal(planes.loss, outcome.loss)
        assert torch.equal(planes.gradient, outcome.gradient)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("classes", [3, 12])
@pytest.mark.parametrize(("low_size", "size"), SIZES)
def test_predictions_are_those_of_the_confusion_matrix(
    low_size: Any, size: Any, classes: int, dtype: torch.dtype
) -> None:
    low, labels = problem(low_size, size, classes=classes, dtype=dtype)
    _, confusion = upsampled_cross_entropy(low, labels)
    predicted = upsampled_argmax(low, size)
    code = labels.long().flatten() * classes + predicted.long().flatten()
    assert torch.equal(confusion.flatten(), torch.bincount(code, minlength=classes**2))


def test_full_resolution_logits_never_exist() -> None:
    low = torch.randn(1, 3, 9, 64, 64, device="cuda", requires_grad=True)
    labels = torch.randint(0, 3, (1, 70, 512, 512), device="cuda", dtype=torch.uint8)
    upsampled_cross_entropy(low, labels)[0].backward()  # what is kept from call to call
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    upsampled_cross_entropy(low, labels)[0].backward()
    assert torch.cuda.max_memory_allocated() - before <= 32e6  # of 220 MB
