"""More than 2**31 elements on CUDA, where the device has the memory."""

from __future__ import annotations

import pytest
import torch

from tomolift.ops import build_info, upsampled_argmax, upsampled_cross_entropy, voxel_cross_entropy

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
    pytest.mark.skipif(not build_info()["cuda"], reason="needs a build with the CUDA part"),
    pytest.mark.slow,
]

SIDE = 2**13
SLICES = 2**31 // SIDE**2 + 1  # one more than 2**31 voxels need


@pytest.fixture(autouse=True)
def _memory_of_its_own() -> None:
    torch.cuda.empty_cache()


def require_gib(gib: float) -> None:
    free, _ = torch.cuda.mem_get_info()
    if free < gib * 2**30:
        pytest.skip(f"needs {gib} GiB of device memory, {free / 2**30:.1f} are free")


@pytest.mark.parametrize("last", [False, True])
def test_a_dense_problem_beyond_2_31_voxels_is_right_at_its_end(last: bool) -> None:
    require_gib(24)
    logits = torch.zeros(1, 2, SLICES, SIDE, SIDE, dtype=torch.bfloat16, device="cuda")
    if last:
        logits = logits.view(1, SLICES, SIDE, SIDE, 2).movedim(-1, 1)
    labels = torch.zeros(1, SLICES, SIDE, SIDE, dtype=torch.uint8, device="cuda")
    logits[0, 1, -1, -1, -3:] = 8.0
    labels[0, -1, -1, -2:] = 1
    leaf = logits.requires_grad_()
    loss, confusion = voxel_cross_entropy(leaf, labels, reduction="sum")
    (gradient,) = torch.autograd.grad(loss, leaf)
    voxels = labels.numel()
    assert confusion.tolist() == [[voxels - 3, 1], [0, 2]]
    ends = gradient[0, :, -1, -1, -4:].float().tolist()
    assert ends[0] == pytest.approx([-0.5, -0.99966, 0.000335, 0.000335], rel=4e-3)
    assert ends[1] == pytest.approx([0.5, 0.99966, -0.000335, -0.000335], rel=4e-3)


def test_an_upsampled_problem_beyond_2_31_voxels_is_right_at_its_end() -> None:
    require_gib(24)
    low = torch.zeros(1, 2, 5, 65, 65, device="cuda")
    low[0, 1, -1, -1, -1] = 8.0
    labels = torch.zeros(1, SLICES, SIDE, SIDE, dtype=torch.uint8, device="cuda")
    labels[0, -1, -1, -1] = 1
    leaf = low.requires_grad_()
    loss, confusion = upsampled_cross_entropy(leaf, labels, reduction="none")
    assert float(loss[0, -1, -1, -1]) == pytest.approx(3.3541e-4, rel=1e-3)
    assert float(loss[0, 0, 0, 0]) == pytest.approx(0.693147, rel=1e-5)
    assert int(confusion.sum()) == labels.numel()
    assert int(confusion[1, 1]) == 1
    seed = torch.zeros_like(loss)
    seed[0, -1, -1, -1] = 1.0
    (gradient,) = torch.autograd.grad(loss, leaf, seed)
    assert int(gradient.count_nonzero()) == 2
    assert float(gradient[0, 1, -1, -1, -1]) == pytest.approx(-3.3535e-4, rel=1e-3)


def test_predictions_beyond_2_31_voxels_are_right_at_their_end() -> None:
    require_gib(6)
    low = torch.zeros(1, 2, 5, 65, 65, device="cuda")
    low[0, 1, -1, -1, -1] = 8.0
    predicted = upsampled_argmax(low, (SLICES, SIDE, SIDE))
    assert int(predicted[0, -1, -1, -1]) == 1
    assert int(predicted[0, 0, 0, 0]) == 0
    assert not predicted[0, : SLICES // 2].any()
