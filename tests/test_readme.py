"""The snippets people copy: each runs, and the top README shows the packages' own."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("ops", "data", "models", "inflation", "training")


def snippets(readme: Path) -> list[str]:
    blocks: list[str] = re.findall(r"```python\n(.*?)```", readme.read_text("utf-8"), re.DOTALL)
    return blocks


@pytest.mark.parametrize("package", PACKAGES)
def test_the_snippet_of_a_packages_readme_runs(package: str, tmp_path: Path) -> None:
    blocks = snippets(ROOT / "packages" / package / "README.md")
    script = tmp_path / f"snippet_{package}.py"
    script.write_text("\n".join(blocks))
    done = subprocess.run(
        [sys.executable, script.name], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout


def test_the_top_readme_shows_every_packages_snippet() -> None:
    shown = snippets(ROOT / "README.md")
    for package in PACKAGES:
        for block in snippets(ROOT / "packages" / package / "README.md"):
            assert block in shown, package
