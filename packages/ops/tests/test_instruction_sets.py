"""Every instruction set that this processor has, each in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tomolift.ops import build_info

SCRIPT = """
import torch
from tomolift.ops import build_info, reference, upsampled_cross_entropy, voxel_cross_entropy

print(build_info()["cpu_isa"])
torch.manual_seed(0)
for dtype in (torch.float32, torch.bfloat16, torch.float16):
    for classes in (3, 6):
        logits = (3 * torch.randn(2, classes, 5, 40, 70)).to(dtype)
        sizes = {voxel_cross_entropy: (5, 40, 70), upsampled_cross_entropy: (9, 51, 270)}
        for op, size in sizes.items():
            labels = torch.randint(0, classes, (2, *size))
            weight = torch.rand(classes)
            ours, theirs = logits.clone().requires_grad_(), logits.double().requires_grad_()
            loss, confusion = op(ours, labels, weight=weight, label_smoothing=0.1, reduction="sum")
            loss.backward()
            twin = getattr(reference, op.__name__)
            loss64, confusion64 = twin(
                theirs, labels, weight=weight.double(), label_smoothing=0.1, reduction="sum"
            )
            loss64.backward()
            rounding = {torch.float32: 2e-6, torch.bfloat16: 2**-8, torch.float16: 2**-11}[dtype]
            torch.testing.assert_close(loss.double(), loss64, rtol=2e-6, atol=0)
            torch.testing.assert_close(ours.grad.double(), theirs.grad, rtol=rounding, atol=1e-5)
            assert int((confusion - confusion64).abs().sum()) <= 8
"""


def run(isa: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "TOMOLIFT_CPU_ISA": isa}
    command = [sys.executable, "-c", SCRIPT]
    return subprocess.run(
        command, env=environment, capture_output=True, text=True, check=False, timeout=60
    )


@pytest.mark.parametrize("isa", ["baseline", "avx2", "avx512"])
def test_each_instruction_set_agrees_with_float64(isa: str) -> None:
    built = build_info()["cpu_isas"]
    assert isinstance(built, list)
    if isa not in built:
        pytest.skip(f"{isa} is not built for this processor family")
    done = run(isa)
    if "at most" in done.stderr:
        pytest.skip(f"this processor does not have {isa}")
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == isa


def test_an_unknown_instruction_set_is_named() -> None:
    done = run("avx9000")
    assert "ValueError: TOMOLIFT_CPU_ISA is 'avx9000', expected baseline, avx2" in done.stderr
