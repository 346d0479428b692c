"""What the build does with CUDA compilers that are missing, broken, incomplete or too old."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "csrc"
CMAKE = shutil.which("cmake") or ""
NVCC = os.environ.get("CUDACXX") or shutil.which("nvcc")

pytestmark = pytest.mark.skipif(not CMAKE, reason="needs cmake on PATH")
needs_nvcc = pytest.mark.skipif(not NVCC, reason="needs a CUDA compiler to imitate another")

REJECTS_THE_HOST = """
echo '#error -- unsupported GNU version! gcc versions later than 1 are not supported!' >&2
exit 1
"""
WITHOUT_HEADERS = f"""
for word; do case $word in
  *.cu) if grep -q cuda_fp16 "$word"; then echo 'no such file: cuda_fp16.h' >&2; exit 1; fi;;
esac; done
exec {NVCC} "$@"
"""
BEFORE_12_8 = f"""
case " $* " in
  *" --list-gpu-arch "*) printf 'compute_80\\ncompute_90\\n'; exit;;
  *_100*) echo "nvcc fatal: Unsupported gpu architecture 'compute_100'" >&2; exit 1;;
esac
exec {NVCC} "$@"
"""
BEFORE_11 = f"""
case " $* " in *" --list-gpu-arch "*) echo 'nvcc fatal: Unknown option' >&2; exit 1;; esac
exec {NVCC} "$@"
"""


ONE = "-DTOMOLIFT_CUDA_ARCHITECTURES=90"  # as three take thrice the time


def configure(folder: Path, cuda: str, *options: str, **environment: str) -> tuple[int, str]:
    """Configure the core in folder; return the exit status and all that was said."""
    command = [CMAKE, "-G", "Ninja", "-S", str(SOURCE), "-B", str(folder / "build")]
    command += ["-DTOMOLIFT_PYTHON=OFF", f"-DTOMOLIFT_CUDA={cuda}", *options]
    done = subprocess.run(
        command, env={**os.environ, **environment}, capture_output=True, text=True, check=False,
        timeout=60,
    )  # fmt: skip
    return done.returncode, " ".join((done.stdout + done.stderr).split())


def compiler(folder: Path, script: str) -> str:
    """Write an executable that stands in for nvcc."""
    path = folder / "nvcc"
    path.write_text(f"#!/bin/sh\n{script}")
    path.chmod(0o755)
    return str(path)


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        pytest.param(
            REJECTS_THE_HOST, "does not work (it says: 1 #error", id="rejects the host compiler"
        ),
        pytest.param(WITHOUT_HEADERS, "compiles no kernel", id="no headers", marks=needs_nvcc),
        pytest.param(BEFORE_11, "knows none of", id="before CUDA 11", marks=needs_nvcc),
    ],
)
def test_a_compiler_that_cannot_is_left_alone_by_auto_and_stops_on(
    tmp_path: Path, script: str, reason: str
) -> None:
    nvcc = compiler(tmp_path, script)
    status, said = configure(tmp_path, "AUTO", ONE, CUDACXX=nvcc)
    assert status == 0, said
    assert f"CUDA part left out: {nvcc} {reason}" in said
    shutil.rmtree(tmp_path / "build")
    status, said = configure(tmp_path, "ON", ONE, CUDACXX=nvcc)
    assert status != 0
    assert f"TOMOLIFT_CUDA is ON and {nvcc} {reason}" in said


@needs_nvcc
@pytest.mark.parametrize("cuda", ["AUTO", "ON"])
def test_a_compiler_before_cuda_12_8_builds_what_it_knows_with_ptx_of_the_last(
    tmp_path: Path, cuda: str
) -> None:
    status, said = configure(tmp_path, cuda, CUDACXX=compiler(tmp_path, BEFORE_12_8))
    assert status == 0, said
    assert "CUDA architecture 100 left out" in said
    assert "CUDA part for architectures 80 90 --" in said
    recipe = (tmp_path / "build" / "build.ninja").read_text(encoding="utf-8")
    assert "arch=compute_80,code=[sm_80]" in recipe
    assert "arch=compute_90,code=[sm_90]" in recipe
    assert "arch=compute_90,code=[compute_90]" in recipe
    assert "compute_100" not in recipe


def test_without_a_compiler_on_path_auto_goes_without_and_on_stops(tmp_path: Path) -> None:
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in ("c++", "ninja", "as", "ld", "ar", "ranlib"):
        found = shutil.which(name)
        assert found is not None
        (tools / name).symlink_to(found)
    alone = {"PATH": str(tools), "CUDACXX": ""}
    status, said = configure(tmp_path, "AUTO", **alone)
    assert status == 0, said
    assert "CUDA part left out: no CUDA compiler was found" in said
    status, said = configure(tmp_path, "ON", **alone)
    assert status != 0
    assert "no CUDA compiler was found: put nvcc on PATH or set CUDACXX" in said


@needs_nvcc
def test_a_compiler_mended_since_is_found_in_the_same_build_folder(tmp_path: Path) -> None:
    nvcc = compiler(tmp_path, REJECTS_THE_HOST)
    _, said = configure(tmp_path, "AUTO", ONE, CUDACXX=nvcc)
    assert "CUDA part left out" in said
    compiler(tmp_path, f'exec {NVCC} "$@"')
    _, said = configure(tmp_path, "AUTO", ONE, CUDACXX=nvcc)
    assert "CUDA part for architectures" in said
