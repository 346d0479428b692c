"""Which implementation of the loss runs where."""

from __future__ import annotations

import pytest
import torch

from tomolift import ops
from tomolift.ops import reference
from tomolift.training._loss import fused_cross_entropy


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_the_fused_op_is_used_wherever_it_was_built(
    monkeypatch: pytest.MonkeyPatch, device: str
) -> None:
    monkeypatch.setattr(ops, "build_info", lambda: {"cuda": True})
    assert fused_cross_entropy(torch.device(device)) is ops.upsampled_cross_entropy


def test_the_cpu_needs_no_cuda_part(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ops, "build_info", lambda: {"cuda": False})
    assert fused_cross_entropy(torch.device("cpu")) is ops.upsampled_cross_entropy


def test_without_the_cuda_part_cuda_gets_the_twin_and_a_warning_with_the_cure(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ops, "build_info", lambda: {"cuda": False})
    with pytest.warns(RuntimeWarning, match=r"TOMOLIFT_CUDA=ON pip install"):
        chosen = fused_cross_entropy(torch.device("cuda"))
    assert chosen is reference.upsampled_cross_entropy
