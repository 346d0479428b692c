"""Which parts of the extension were built, against what the environment asked for."""

from __future__ import annotations

import os
import platform
import shlex
import shutil
import subprocess

import pytest
import torch

from tomolift.ops import build_info, upsampled_cross_entropy, voxel_cross_entropy

INFO = build_info()
NVCC = os.environ.get("CUDACXX") or shutil.which("nvcc")  # what the build goes by, too


def test_the_version_is_the_packages() -> None:
    assert INFO["version"] == "0.1.0"


def test_every_instruction_set_of_the_processor_family_was_built() -> None:
    x86 = platform.machine() in ("x86_64", "AMD64")
    assert INFO["cpu_isas"] == (["baseline", "avx2", "avx512"] if x86 else ["baseline"])
    assert INFO["cpu_isa"] in INFO["cpu_isas"]


def test_the_cuda_part_was_built_where_it_was_asked_for_or_a_compiler_is_at_hand() -> None:
    asked = os.environ.get("TOMOLIFT_CUDA", "AUTO")
    wanted = asked == "ON" or (asked == "AUTO" and NVCC is not None)
    assert INFO["cuda"] is wanted, (
        f"TOMOLIFT_CUDA={asked} and the CUDA compiler is {NVCC}: install ops again under these, or "
        "set TOMOLIFT_CUDA to what it was built with"
    )


def test_architectures_are_those_the_compiler_knows() -> None:
    if not INFO["cuda"]:
        assert INFO["cuda_architectures"] == []
        return
    if NVCC is None:
        pytest.skip("needs the CUDA compiler that it was built with")
    command = [*shlex.split(NVCC), "--list-gpu-arch"]
    known = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    expected = [number for number in (80, 90, 100) if f"compute_{number}" in known]
    assert INFO["cuda_architectures"] == expected


def test_importing_and_running_on_the_cpu_needs_no_gpu() -> None:
    loss, _ = voxel_cross_entropy(torch.zeros(1, 2, 1, 1), torch.zeros(1, 1, 1, dtype=torch.uint8))
    assert float(loss) == pytest.approx(0.6931472)


@pytest.mark.gpu
def test_a_cuda_call_without_the_cuda_part_says_how_to_get_it() -> None:
    if not torch.cuda.is_available() or INFO["cuda"]:
        pytest.skip("needs a CUDA device and a build without the CUDA part")
    logits = torch.zeros(1, 2, 1, 1, device="cuda")
    labels = torch.zeros(1, 1, 1, dtype=torch.uint8, device="cuda")
    with pytest.raises(RuntimeError, match=r"TOMOLIFT_CUDA=ON pip install \./packages/ops"):
        voxel_cross_entropy(logits, labels)
    with pytest.raises(RuntimeError, match=r"tomolift\.ops\.reference\.upsampled_cross_entropy"):
        upsampled_cross_entropy(logits, labels)
