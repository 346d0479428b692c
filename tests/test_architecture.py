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


def test_the_namespace_test_can_fail() -> None:
    planted = "import pickle\npickle.loads(b'')\neval('1')\nopen('x', 'w')\ntorch.load('x')\n"
    assert len(_violations(planted, writes_allowed=False)) == 4


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_source_calls_what_executes_or_writes_behind_our_back(path: Path) -> None:
    found = _violations(path.read_text(), writes_allowed=path.name == "_files.py")
    assert not found


# The restricted reader of torch's legacy tar checkpoints is the one place that sees a pickle.
RESTRICTED_READERS = {"_legacy_tar.py", "_legacy_pickle.py"}


def _violations(source: str, *, writes_allowed: bool) -> list[str]:
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found += [f"import {a.name}" for a in node.names if a.name in {"pickle", "dill"}]
        if not isinstance(node, ast.Call):
            continue
        called = ast.unparse(node.func)
        keywords = {word.arg: ast.unparse(word.value) for word in node.keywords}
        if called in {"eval", "exec"} or called.endswith((".extractall", "yaml.load")):
            found.append(called)
        if called == "torch.load" and keywords.get("weights_only") != "True":
            found.append("torch.load without weights_only=True")
        if keywords.get("shell") == "True":
            found.append("shell=True")
        mode = ast.unparse(node.args[1]) if called == "open" and len(node.args) > 1 else "'r'"
        writes = called.endswith((".write_text", ".write_bytes")) or "w" in mode or "a" in mode
        if writes and not writes_allowed and "_files" not in called:
            found.append(f"{called}: writing belongs in _files.py")
    return found
