"""The C++ core's own tests, built without Python and run by ctest."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "csrc"


@pytest.mark.slow
def test_the_core_passes_its_tests_without_python(tmp_path: Path) -> None:
    cmake = shutil.which("cmake")
    if cmake is None:
        pytest.skip("needs cmake on PATH")
    options = ["-DTOMOLIFT_TESTS=ON", "-DTOMOLIFT_PYTHON=OFF", "-DTOMOLIFT_CUDA=OFF"]
    # vector code takes -O1 five times as long; the extension under test here is built with -O3
    options += ["-DCMAKE_BUILD_TYPE=None", "-DCMAKE_CXX_FLAGS=-O0"]
    for command in (
        [cmake, "-S", str(SOURCE), "-B", str(tmp_path), *options],
        [cmake, "--build", str(tmp_path), "--parallel", "2"],
        ["ctest", "--test-dir", str(tmp_path), "--output-on-failure", "--parallel", "2"],
    ):
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
        assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
