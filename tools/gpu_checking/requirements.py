"""What the check needs of the machine, and what the machine says of itself."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path

from gpu_checking.verdicts import Part

ROOT = Path(__file__).resolve().parent.parent.parent
OPS = ROOT / "packages" / "ops"
DATA = ROOT / "packages" / "data"
# wadler_lindig is what jaxtyping itself imports
MODULES = {"pip", "torch", "pybind11", "scikit_build_core", "pytest", "jaxtyping", "wadler_lindig"}


class NotRunError(Exception):
    """A part cannot run; the message says why."""


def require() -> str:
    """Look for all that the build and the tests need; nvcc's path, or NotRunError."""
    sources = [*OPS.glob("src/**/*.py"), OPS / "tests" / "conftest.py", *marked(OPS / "tests")]
    tools = {name: find_tool(name) for name in ("nvcc", "cmake", "ninja")}
    line = missing_line(
        sorted(name for name in MODULES | imported(sources) if find_spec(name) is None),
        sorted(name for name, path in tools.items() if path is None),
    )
    if line:
        raise NotRunError(line)
    return str(tools["nvcc"])


def spread(names: list[str], count: int) -> list[str]:
    """At most count of the names, evenly spread over the list."""
    return names[:: max(1, -(-len(names) // count))]


def marked(folder: Path) -> list[Path]:
    """The files that hold a test marked gpu: only these are imported."""
    files = [*folder.glob("test_*.py"), *folder.glob("bench_*.py")]
    return sorted(path for path in files if "mark.gpu" in path.read_text("utf-8"))


def dependencies(package: Path) -> set[str]:
    """The projects that a package's pyproject.toml asks for, without versions."""
    words = tomllib.loads((package / "pyproject.toml").read_text("utf-8"))["project"]
    return {re.split(r"[^\w-]", word)[0] for word in words["dependencies"]}


def imported(files: Iterable[Path]) -> set[str]:
    """The top-level names of other projects that these files import."""
    names: set[str] = set()
    for path in files:
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Import):
                names |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                names.add(node.module.partition(".")[0])
    return names - sys.stdlib_module_names - {"tomolift"}


def missing_line(modules: list[str], tools: list[str]) -> str:
    """What is missing and how to bring it, in one line; empty if nothing is."""
    cures = []
    if modules:
        wheels = " ".join(name.replace("_", "-") for name in modules)
        cures.append(
            f"Python cannot import {', '.join(modules)}: where there is a network run `python -m "
            f"pip download {wheels}`, here `python -m pip install --no-index --no-deps --target "
            "FOLDER *.whl`, and add FOLDER to PYTHONPATH"
        )
    if tools:
        cures.append(f"{', '.join(tools)} not found: put {'them' if tools[1:] else 'it'} on PATH")
    return "; ".join(cures)


def find_tool(name: str, *, beside: str | None = None) -> str | None:
    """A program on PATH, in the toolkit's usual folders, or beside another."""
    places = [os.environ.get("PATH", ""), str(Path(sys.executable).parent)]
    places += [str(Path(beside).parent)] if beside else []
    if name in ("nvcc", "compute-sanitizer"):
        places += [f"{os.environ.get('CUDA_HOME', '/usr/local/cuda')}/bin"]
    return shutil.which(name, path=os.pathsep.join(places))


def find_device() -> Part:
    if find_spec("torch") is None:
        raise NotRunError("Python cannot import torch: use the Python that has it, with CUDA")
    import torch

    if not torch.cuda.is_available():
        raise NotRunError(f"no CUDA device: torch {torch.__version__} sees none on this machine")
    major, minor = torch.cuda.get_device_capability()
    return {
        "device": torch.cuda.get_device_name(), "compute_capability": f"{major}.{minor}",
        "torch": torch.__version__, "torch_cuda": torch.version.cuda,
        "python": sys.version.split()[0],
    }  # fmt: skip


def describe_toolchain(nvcc: str) -> Part:
    """Driver, nvcc and commit; None where the machine does not tell."""
    release = re.search(r"release [\d.]+, V([\d.]+)", ask(nvcc, "--version"))
    driver = ask("nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader")
    commit = (
        ask("git", "-C", str(ROOT), "rev-parse", "HEAD").strip() if (ROOT / ".git").exists() else ""
    )
    changed = bool(commit) and bool(ask("git", "-C", str(ROOT), "status", "--porcelain").strip())
    return {
        "nvcc": release and release[1], "driver": driver.partition("\n")[0].strip() or None,
        "commit": commit or None, "uncommitted_changes": changed,
    }  # fmt: skip


def ask(*command: str) -> str:
    if shutil.which(command[0]) is None:
        return ""
    done = subprocess.run(command, capture_output=True, text=True, timeout=30)
    return done.stdout if done.returncode == 0 else ""
