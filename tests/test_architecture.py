"""What holds the monorepo together: namespace, licences, dependencies, forbidden calls."""

from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("ops", "data", "models", "inflation", "training")
SOURCES = sorted(ROOT.glob("packages/*/src/**/*.py"))


@pytest.mark.parametrize("package", PACKAGES)
def test_no_package_claims_the_namespace(package: str) -> None:
    portion = ROOT / "packages" / package / "src" / "tomolift"
    assert not (portion / "__init__.py").exists()
    assert (portion / package / "py.typed").exists()


@pytest.mark.parametrize("package", PACKAGES)
def test_every_package_carries_the_same_licence(package: str) -> None:
    copy = ROOT / "packages" / package / "LICENSE"
    assert not copy.is_symlink()
    assert copy.read_bytes() == (ROOT / "LICENSE").read_bytes()


def test_all_packages_have_one_version_and_training_pins_it() -> None:
    projects = {
        name: tomllib.loads((ROOT / "packages" / name / "pyproject.toml").read_text())["project"]
        for name in PACKAGES
    }
    (version,) = {project["version"] for project in projects.values()}
    pins = {word for word in projects["training"]["dependencies"] if word.startswith("tomolift-")}
    assert {pin.split("==")[1] for pin in pins} == {version}
    assert len(pins) == 4
    for leaf in PACKAGES[:-1]:
        assert not any("tomolift" in word for word in projects[leaf]["dependencies"])


@pytest.mark.parametrize("command", [["--help"], ["data", "--help"], ["reproduce", "--dry-run"]])
def test_commands_that_compute_nothing_do_not_import_torch(command: list[str]) -> None:
    script = (
        "import sys\nfrom tomolift.training.cli import main\n"
        f"try:\n    main({command!r})\nexcept SystemExit:\n    pass\n"
        "assert 'torch' not in sys.modules, 'torch was imported'\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


PLANTED = [
    "import pickle",
    "from pickle import loads",
    "eval('1')",
    "archive.extractall(folder)",
    "yaml.load(text)",
    "torch.load('x')",
    "torch.load('x', weights_only=False)",
    "from torch import load",
    "run('ls', shell=True)",
    "open('x', 'w')",
    "open('x', mode='ab')",
    "path.open('wb')",
    "path.write_text('x')",
    "np.save('x', array)",
    "figure.savefig('x.png')",
    "shutil.copy(a, b)",
    "os.open('x', os.O_WRONLY)",
]


@pytest.mark.parametrize("line", PLANTED)
def test_the_guard_against_dangerous_calls_finds_what_is_planted(line: str) -> None:
    assert len(_violations(line, writes_allowed=False)) == 1


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_source_calls_what_executes_or_writes_behind_our_back(path: Path) -> None:
    assert not _violations(path.read_text(), writes_allowed=path.name == "_files.py")


FORBIDDEN_MODULES = {"pickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
WRITERS = {
    "write_text", "write_bytes", "save", "savez", "savefig", "tofile", "save_file", "copy",
    "copyfile", "copytree", "move",
}  # fmt: skip
WRITING_MODULES = {"np", "numpy", "torch", "nib", "nibabel", "shutil", "safetensors"}


def _violations(source: str, *, writes_allowed: bool) -> list[str]:
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found += [f"import {a.name}" for a in node.names if a.name in FORBIDDEN_MODULES]
        elif isinstance(node, ast.ImportFrom):
            names = {alias.name for alias in node.names}
            if node.module in FORBIDDEN_MODULES or (node.module == "torch" and "load" in names):
                found.append(f"from {node.module} import {', '.join(sorted(names))}")
        elif isinstance(node, ast.Call):
            found += _dangerous(node)
            if not writes_allowed and _writes(node):
                found.append(f"{ast.unparse(node)}: writing belongs in _files.py")
    return found


def _dangerous(node: ast.Call) -> list[str]:
    called = ast.unparse(node.func)
    keywords = {word.arg: ast.unparse(word.value) for word in node.keywords}
    found = []
    if called in {"eval", "exec"} or called.endswith((".extractall", "yaml.load")):
        found.append(called)
    if called == "torch.load" and keywords.get("weights_only") != "True":
        found.append("torch.load without weights_only=True")
    if keywords.get("shell") == "True":
        found.append("shell=True")
    return found


def _writes(node: ast.Call) -> bool:
    owner, _, name = ast.unparse(node.func).rpartition(".")
    if name == "open":
        if owner == "os":
            return any(
                "O_WRONLY" in ast.unparse(a) or "O_RDWR" in ast.unparse(a) for a in node.args
            )
        given = [word.value for word in node.keywords if word.arg == "mode"]
        given += node.args[0 if owner else 1 :][:1]
        modes = [a.value for a in given if isinstance(a, ast.Constant)]
        return any(set(str(mode)) & set("wax+") for mode in modes)
    if name in {"write_text", "write_bytes"}:
        return bool(owner) and not owner.endswith("_files")
    if name == "savefig":
        return not any(ast.unparse(argument) == "stream" for argument in node.args)
    return name in WRITERS and owner in WRITING_MODULES
