"""Every task of the repository: `nox -l` lists them, `nox -s ci` is what guards main.

Sessions that need torch share one environment, .nox/dev, made by the session `dev`.
"""

from __future__ import annotations

import hashlib
import os
import re
import shlex
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

import nox

nox.needs_version = ">=2024.4.15"
nox.options.sessions = ["ci"]
nox.options.reuse_venv = "yes"
nox.options.default_venv_backend = "virtualenv"

ROOT = Path(__file__).parent.resolve()
PACKAGES = ("ops", "data", "models", "inflation", "training")
DEV = ROOT / ".nox" / "dev"
PYTHON = str(DEV / "bin" / "python")
QUICK = {"PIP_NO_COMPILE": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
CONSTRAINTS = ("-c", str(ROOT / "constraints.txt"))

RUNTIME = (
    "torch", "numpy", "nibabel", "isal", "safetensors", "jaxtyping", "tyro", "rich", "matplotlib",
    "mpmath", "pillow", "pooch", "requests", "urllib3",
)  # fmt: skip
BUILD = ("scikit-build-core", "pybind11", "cmake", "ninja", "hatchling", "editables", "build")
CHECK = (
    "pytest", "pytest-benchmark", "pytest-xdist", "hypothesis", "beartype", "ruff", "mypy",
    "import-linter", "clang-format", "virtualenv",
    "blosc2",  # a peer in the benchmarks of data
    "optuna",  # the extra `search` of training
    "monai", "scipy",  # its extra `surface`
)  # fmt: skip
TIMM = "timm==1.0.31"  # whose networks `coverage_timm` converts; never a dependency


@nox.session
def dev(session: nox.Session) -> None:
    """Make the shared environment with all five packages in editable mode."""
    stamp = DEV / "tomolift.stamp"
    wanted = _fingerprint()
    if stamp.exists() and stamp.read_text() == wanted:
        session.log("up to date")
        return
    session.install(*CONSTRAINTS, *RUNTIME, *BUILD, *CHECK, env=QUICK)
    editable = [word for name in PACKAGES for word in ("-e", f"packages/{name}")]
    session.install("--no-deps", "--no-build-isolation", *editable, env=QUICK)
    stamp.write_text(wanted)


@nox.session(venv_backend="none", requires=["dev"])
def reproduce(session: nox.Session) -> None:
    """Run the paper's experiment; arguments after -- go to `tomolift reproduce`."""
    session.run(PYTHON, "-m", "tomolift.training", "reproduce", *session.posargs, external=True)


@nox.session(venv_backend="none", requires=["dev"])
def tests(session: nox.Session) -> None:
    """Run every test; arguments after -- go to pytest."""
    session.run(PYTHON, "-m", "pytest", *session.posargs, external=True)


@nox.session(venv_backend="none", requires=["dev"])
def lint(session: nox.Session) -> None:
    """Check style of Python, C++ and CUDA."""
    session.run(PYTHON, "-m", "ruff", "check", ".", external=True)
    session.run(PYTHON, "-m", "ruff", "format", "--check", ".", external=True)
    native = sorted(
        str(path)
        for path in Path("csrc").rglob("*")
        if path.suffix in {".h", ".cpp", ".cu", ".cuh"}
    )
    session.run(str(DEV / "bin" / "clang-format"), "--dry-run", "--Werror", *native, external=True)


@nox.session(venv_backend="none", requires=["dev"])
def types(session: nox.Session) -> None:
    """Check types, strictly."""
    sources = [f"packages/{name}/src" for name in PACKAGES]
    session.run(PYTHON, "-m", "mypy", *sources, external=True)


@nox.session(venv_backend="none", requires=["dev"])
def imports(session: nox.Session) -> None:
    """Check who imports whom: four leaves, one root."""
    session.run(str(DEV / "bin" / "lint-imports"), external=True)


@nox.session(venv_backend="none", requires=["dev"])
def benchmark(session: nox.Session) -> None:
    """Run the benchmarks, keep their figures, print the targets; arguments after -- go to pytest.

    The suites are packages/*/benchmarks; `-- data` runs that one alone, all run by default. CUDA's
    run with `-- -m gpu`; `-- --sizes tiny` shows that everything runs, and keeps nothing.
    """
    folders = {path.parent.name: path for path in sorted(Path("packages").glob("*/benchmarks"))}
    named = [word for word in session.posargs if word in folders]
    more = [word for word in session.posargs if word not in folders]
    given = ["--", *session.posargs] if session.posargs else []
    command = shlex.join(["nox", "-s", "benchmark", *given])
    for name in named or folders:  # in processes of their own: none finds another's memory
        _run_benchmarks(session, folders[name], more, command)


@nox.session(venv_backend="none", requires=["dev"])
def cuda_compile(session: nox.Session) -> None:
    """Check every kernel's code, for every architecture; build ops with it, import it."""
    if not (os.environ.get("CUDACXX") or shutil.which("nvcc")):
        session.log("not run: no CUDA compiler (put nvcc on PATH or set CUDACXX)")
        return
    session.run(PYTHON, "tools/check_cuda_code.py", external=True)
    with tempfile.TemporaryDirectory(prefix="tomolift-cuda-") as folder:
        _test_cuda_wheel(session, Path(folder))


@nox.session(venv_backend="none", requires=["dev"])
def sanitize(session: nox.Session) -> None:
    """Run the C++ tests under ASan + UBSan and under TSan; each must find a planted bug."""
    session.run(PYTHON, "tools/sanitize.py", *session.posargs, external=True)


@nox.session(venv_backend="none", requires=["dev"])
def faults(session: nox.Session) -> None:
    """Kill, starve and corrupt builds and caches, and keep the outcome.

    Arguments after -- go to tools/faults.py instead, such as `-- --only flips --flips 100`.
    """
    kept = ("--json", "docs/results/faults.json", "--write-docs")
    session.run(PYTHON, "tools/faults.py", *(session.posargs or kept), external=True)


@nox.session(venv_backend="none", requires=["dev"])
def coverage_timm(session: nox.Session) -> None:
    """Convert a network of each of 36 families in timm, compare every slice, keep what was found.

    Arguments after -- go to tools/coverage_timm.py instead, such as `-- --only vit`. timm stands
    in a folder of its own, without what it depends on.
    """
    folder = ROOT / ".nox" / TIMM.replace("==", "-")
    if not (folder / "timm").exists():
        install = ("install", "-q", "--no-deps", "--target", str(folder), TIMM)
        session.run(PYTHON, "-m", "pip", *install, env=QUICK, external=True)
    arguments = session.posargs or ("--keep",)
    session.run(PYTHON, "tools/coverage_timm.py", "--timm", str(folder), *arguments, external=True)


@nox.session(venv_backend="none", requires=["dev"])
def sdist(session: nox.Session) -> None:
    """Build sdist -> wheel of every package outside the checkout; use each wheel alone."""
    with tempfile.TemporaryDirectory(prefix="tomolift-sdist-") as folder:
        _build_wheels(session, Path(folder))
        for name in PACKAGES:
            _use_alone(session, name, Path(folder))


@nox.session(
    venv_backend="none",
    requires=["lint", "types", "imports", "tests", "cuda_compile", "sdist"],
)
def ci(session: nox.Session) -> None:
    """What guards main: lint, types, imports, tests, cuda_compile, sdist."""
    session.log("all green")


def _run_benchmarks(
    session: nox.Session, suite: Path, arguments: Sequence[str], command: str
) -> None:
    options = (
        "-o", "python_files=bench_*.py", "--benchmark-columns=median,iqr,rounds",
        "-W", "default::pytest_benchmark.logger.PytestBenchmarkWarning",
    )  # fmt: skip
    with tempfile.TemporaryDirectory(prefix="tomolift-benchmark-") as folder:
        finished = Path(folder) / "benchmarks.json"
        finished.touch()  # and empty it stays where all were skipped
        words = (*options, f"--benchmark-json={finished}", str(suite), *arguments)
        try:
            # 5: none was selected, as with -m gpu where a suite has none for CUDA
            session.run(PYTHON, "-m", "pytest", *words, external=True, success_codes=[0, 5])
        finally:  # what was measured before one failed is kept, too
            compare = (PYTHON, "tools/compare_benchmarks.py", "--command", command)
            session.run(*compare, "--keep", str(finished), "--write-docs", external=True)


def _test_cuda_wheel(session: nox.Session, scratch: Path) -> None:
    session.run(
        PYTHON, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir",
        str(scratch), "packages/ops", env={**QUICK, "TOMOLIFT_CUDA": "ON"}, external=True,
    )  # fmt: skip
    # A new environment that borrows torch from the shared one, but not its editable packages.
    session.run(PYTHON, "-m", "virtualenv", "-q", str(scratch / "env"), external=True)
    python = str(scratch / "env" / "bin" / "python")
    (site,) = (scratch / "env" / "lib").glob("python3.*/site-packages")
    (borrowed,) = (DEV / "lib").glob("python3.*/site-packages")
    (site / "borrowed.pth").write_text(f"{borrowed}\n")
    wheel = str(next(scratch.glob("*.whl")))
    session.run(python, "-m", "pip", "install", "-q", "--no-deps", wheel, external=True)
    expect = {"TOMOLIFT_CUDA": "ON"}
    tests = "packages/ops/tests/test_build.py"
    session.run(python, "-m", "pytest", tests, "-q", env=expect, external=True)


def _build_wheels(session: nox.Session, scratch: Path) -> None:
    wheels = scratch / "wheels"
    for name in PACKAGES:
        built = scratch / "sdist" / name
        session.run(
            PYTHON, "-m", "build", "--sdist", "--outdir", str(built), f"packages/{name}",
            "--no-isolation", external=True, silent=True,
        )  # fmt: skip
        archive = next(built.glob("*.tar.gz"))
        session.run(
            PYTHON, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir",
            str(wheels), str(archive), external=True, silent=True,
        )  # fmt: skip


def _use_alone(session: nox.Session, name: str, scratch: Path) -> None:
    """Install one wheel in a new environment and run its README's snippet there."""
    environment = scratch / f"alone-{name}"
    session.run(PYTHON, "-m", "virtualenv", "-q", str(environment), external=True)
    python = str(environment / "bin" / "python")
    # By file, so that no package of the same name on an index can take its place.
    wheels = scratch / "wheels"
    wanted = PACKAGES if name == "training" else (name,)
    files = [str(next(wheels.glob(f"tomolift_{each}-*.whl"))) for each in wanted]
    if name == "data":
        files = [f"{files[0]}[torch]"]  # the snippet uses the feeders
    install = ("install", "-q", *CONSTRAINTS, *files)
    session.run(python, "-m", "pip", *install, env=QUICK, external=True)
    siblings = "import importlib.metadata as m; print(*sorted(d.name for d in m.distributions()))"
    installed = session.run(python, "-c", siblings, external=True, silent=True)
    found = {word for word in str(installed).split() if word.startswith("tomolift-")}
    if found != {f"tomolift-{each}" for each in wanted}:
        session.error(f"tomolift-{name} comes with {sorted(found)}")
    readme = Path(f"packages/{name}/README.md").read_text()
    blocks = re.findall(r"```python\n(.*?)```", readme, re.DOTALL)
    if not blocks:
        session.error(f"packages/{name}/README.md has no python snippet")
    snippet = scratch / f"snippet_{name}.py"
    snippet.write_text("\n".join(blocks))
    with session.chdir(scratch):
        session.run(python, snippet.name, external=True)
    shutil.rmtree(environment)


def _fingerprint() -> str:
    """A digest of everything the shared environment is made from."""
    sources = [ROOT / "constraints.txt"]
    sources += [ROOT / "packages" / name / "pyproject.toml" for name in PACKAGES]
    sources += [path for path in sorted((ROOT / "csrc").rglob("*")) if path.is_file()]
    digest = hashlib.sha256(os.environ.get("TOMOLIFT_CUDA", "").encode())
    digest.update(" ".join((*RUNTIME, *BUILD, *CHECK)).encode())
    for path in sources:
        digest.update(str(path.relative_to(ROOT)).encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()
