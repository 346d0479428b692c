"""Wrong arguments: one line that names the argument, its value, what was expected and the cure."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from tomolift.ops import upsampled_argmax, upsampled_cross_entropy, voxel_cross_entropy

LOGITS = torch.zeros(2, 3, 4, 5)
LABELS = torch.zeros(2, 4, 5, dtype=torch.uint8)


@pytest.mark.parametrize("op", [voxel_cross_entropy, upsampled_cross_entropy])
@pytest.mark.parametrize(
    ("logits", "labels", "options", "error", "message"),
    [
        (LOGITS.int(), LABELS, {}, TypeError, "logits is torch.int32, expected float32"),
        (LOGITS[0], LABELS, {}, ValueError, r"logits has shape \(3, 4, 5\), expected \(N, C, H, W"),
        (LOGITS, LABELS.float(), {}, TypeError, "labels is torch.float32, expected uint8"),
        (LOGITS, LABELS[:1], {}, ValueError, r"labels has shape \(1, 4, 5\)"),
        (LOGITS, LABELS[:, 0], {}, ValueError, r"labels has shape \(2, 5\)"),
        (LOGITS, LABELS, {"weight": torch.ones(2)}, ValueError, r"weight has shape \(2,\)"),
        (LOGITS, LABELS, {"weight": torch.ones(3).int()}, ValueError, "type torch.int32, expected"),
        (LOGITS, LABELS, {"weight": torch.ones(3, requires_grad=True)}, ValueError, "detach"),
        (LOGITS, LABELS, {"label_smoothing": 1.5}, ValueError, r"label_smoothing is 1.5, .*\[0, 1"),
        (LOGITS, LABELS, {"reduction": "avg"}, ValueError, "reduction is 'avg', expected one of"),
        (LOGITS, LABELS, {"check_labels": "no"}, ValueError, "check_labels is 'no', expected"),
        (LOGITS, LABELS, {"ignore_index": 2**64}, ValueError, "expected a 64-bit integer"),
        (LOGITS.to("meta"), LABELS, {}, ValueError, "labels is on cpu and the logits on meta"),
        (LOGITS.to("meta"), LABELS.to("meta"), {}, RuntimeError, "logits is on meta"),
    ],
)
def test_a_wrong_argument_is_named(
    op: Any, logits: Any, labels: Any, options: Any, error: Any, message: str
) -> None:
    with pytest.raises(error, match=message) as caught:
        op(logits, labels, **options)
    assert "\n" not in str(caught.value)


def test_labels_of_another_size_point_to_the_upsampled_op() -> None:
    with pytest.raises(ValueError, match=r"equal spatial sizes .upsampled_cross_entropy takes"):
        voxel_cross_entropy(LOGITS, torch.zeros(2, 8, 10, dtype=torch.uint8))


def test_an_unknown_memory_mode_is_named() -> None:
    with pytest.raises(ValueError, match="memory is 'reuse', expected one of 'store', 'recompute'"):
        voxel_cross_entropy(LOGITS, LABELS, memory="reuse")  # type: ignore[arg-type]


@pytest.mark.parametrize("stride", [(8,), (8, 0), (8, 8, 8)])
def test_a_wrong_stride_is_named(stride: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"stride is .*, expected 2 positive numbers"):
        upsampled_cross_entropy(LOGITS, LABELS, stride=stride)


def test_a_wrong_size_is_named() -> None:
    with pytest.raises(ValueError, match=r"size is \(4, 5, 6\), expected 2 numbers"):
        upsampled_argmax(LOGITS, (4, 5, 6))


def test_an_axis_without_samples_is_named() -> None:
    with pytest.raises(ValueError, match="expected at least one sample an axis"):
        upsampled_argmax(torch.zeros(1, 3, 0, 4), (4, 4))


def test_more_classes_than_uint8_holds_are_refused() -> None:
    with pytest.raises(ValueError, match="low_logits has 256 classes, expected at most 255"):
        upsampled_argmax(torch.zeros(1, 256, 2, 2), (4, 4))
