"""The parts of the check: each runs commands against one build in a temporary folder."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

from gpu_checking.requirements import (
    DATA,
    OPS,
    ROOT,
    NotRunError,
    dependencies,
    find_tool,
    missing_line,
    spread,
)
from gpu_checking.verdicts import (
    Part,
    failed,
    first_error,
    judge_sanitizer,
    judge_tests,
    last_line,
    read_benchmarks,
)

LEAST_SECONDS = 5.0  # less is not worth starting a Python
SANITIZED_TESTS = 8  # a sanitizer slows each down by orders of magnitude
PYTEST = (sys.executable, "-m", "pytest", "-q", "--color=no", "-p", "no:cacheprovider", "-m", "gpu")
PROBE = """import json, tomolift.ops as ops
print(json.dumps({"file": ops.__file__} | ops.build_info()))"""


class Check:
    """Runs commands against the build in a temporary folder, until the budget is spent."""

    def __init__(self, log: Path, ends: float, folder: Path, nvcc: str) -> None:
        self.log, self.ends, self.folder, self.nvcc = log, ends, folder, nvcc
        self.site = folder / "site"
        self.tests: list[str] = []  # the gpu tests' names, once collected
        log.write_bytes(b"")

    def run(self, *command: str, **variables: str) -> tuple[int, str]:
        """The exit status and what was printed; NotRunError where time runs out."""
        left = self.ends - time.monotonic()
        if left < LEAST_SECONDS:
            raise NotRunError("no time was left of the budget")
        path = os.pathsep.join(filter(None, [str(self.site), os.environ.get("PYTHONPATH", "")]))
        ours = {"PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1", "CUDACXX": self.nvcc}
        with self.log.open("ab") as log:
            log.write(f"\n$ {shlex.join(command)}\n".encode())
            log.flush()
            start = log.tell()
            child = subprocess.Popen(
                command, cwd=ROOT, env=os.environ | ours | variables, stdin=subprocess.DEVNULL,
                stdout=log, stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip
            try:
                status = child.wait(left)
            except BaseException as error:
                os.killpg(child.pid, signal.SIGKILL)  # ninja's compilers too
                child.wait()
                if isinstance(error, subprocess.TimeoutExpired):
                    raise NotRunError(
                        f"stopped after {left:.0f} s, the end of the budget"
                    ) from None
                raise
        return status, self.log.read_bytes()[start:].decode("utf-8", "replace")

    def build(self, capability: str) -> Part:
        """Ops for this device only, and what the build says of itself."""
        status, text = self.run(
            sys.executable, "-m", "pip", "install", "--verbose", "--no-index", "--no-deps",
            "--no-build-isolation", f"--target={self.site}",
            f"--config-settings=build-dir={self.folder / 'build'}",
            "--config-settings=cmake.define.TOMOLIFT_CUDA=ON",
            f"--config-settings=cmake.define.TOMOLIFT_CUDA_ARCHITECTURES={capability}", str(OPS),
        )  # fmt: skip
        if status:
            return failed(f"pip ended with {status}: {first_error(text)}")
        status, text = self.run(sys.executable, "-c", PROBE)
        if status:
            return failed(f"the build does not import: {last_line(text)}")
        found: Part = json.loads(last_line(text))
        if not Path(found.pop("file")).is_relative_to(self.site):
            return failed("another tomolift-ops hides this build: pip uninstall tomolift-ops")
        if not found["cuda"]:
            return failed("the build came without its CUDA part; the log has CMake's words")
        return {"status": "ran"} | found

    def test(self, files: list[Path]) -> Part:
        """Every gpu test."""
        if not files:
            return failed("no file of packages/ops/tests is marked gpu")
        names = [str(path) for path in files]
        self.tests = re.findall(r"^\S+::.+$", self.run(*PYTEST, "--collect-only", *names)[1], re.M)
        return judge_tests(*self.run(*PYTEST, *names))

    def test_feeders(self, files: list[Path]) -> Part:
        """Every gpu test of data, which is pure Python: its sources are read where they lie."""
        missing = sorted(name for name in dependencies(DATA) if find_spec(name) is None)
        if missing:
            raise NotRunError(missing_line(missing, []))
        if not files:
            return failed("no file of packages/data/tests is marked gpu")
        return judge_tests(*self.run(*PYTEST, *map(str, files), PYTHONPATH=str(DATA / "src")))

    def measure(self) -> Part:
        """Both ops beside eager and compiled torch and a copy."""
        status, text = self.run(sys.executable, str(Path(__file__).with_name("timings.py")))
        return failed(last_line(text)) if status else dict(json.loads(last_line(text)))

    def benchmark(self, files: list[Path]) -> Part:
        """The benchmarks marked gpu."""
        if not files:
            raise NotRunError("no file of packages/ops/benchmarks is marked gpu")
        if find_spec("pytest_benchmark") is None:
            raise NotRunError("pytest-benchmark is missing")
        path = self.folder / "benchmarks.json"
        part = judge_tests(*self.run(*PYTEST, f"--benchmark-json={path}", *map(str, files)))
        return part | {"cases": read_benchmarks(path.read_text("utf-8")) if path.exists() else []}

    def sanitize(self, tool: str) -> Part:
        """Some of the gpu tests under one of compute-sanitizer's tools."""
        command = find_tool("compute-sanitizer", beside=self.nvcc)
        if command is None:
            raise NotRunError("compute-sanitizer is neither on PATH nor beside nvcc")
        if not self.tests:
            raise NotRunError("no gpu test was collected")
        # torch tries calls that fail; ours checks its own launches
        quiet = ("--report-api-errors", "no") if tool == "memcheck" else ()
        status, text = self.run(
            command, "--tool", tool, *quiet, *PYTEST, *spread(self.tests, SANITIZED_TESTS),
            PYTORCH_NO_CUDA_MEMORY_CACHING="1",  # else torch's pool hides the bounds of tensors
        )  # fmt: skip
        return judge_sanitizer(status, text)
