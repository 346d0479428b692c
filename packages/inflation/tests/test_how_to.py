"""docs/how-to/inflate-your-own-network.md: its snippets run in order and print what it shows."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

GUIDE = Path(__file__).parents[3] / "docs" / "how-to" / "inflate-your-own-network.md"
pytestmark = pytest.mark.skipif(not GUIDE.exists(), reason="a package alone has no guides")
# Rounding errors differ between processors, and line numbers are those of the reader's own file.
NOT_COMPARED = re.compile(r"\d\.\de[-+]\d\d|\w+\.py:\d+")


@dataclass(frozen=True)
class Snippet:
    """`line` is its first in the guide; `shown` is the text block behind it, "" for none."""

    line: int
    code: str
    shown: str


def snippets() -> Iterator[Snippet]:
    text = GUIDE.read_text("utf-8")
    blocks = list(re.finditer(r"^```(python|text)\n(.*?)^```$", text, re.M | re.S))
    for block, after in zip(blocks, [*blocks[1:], None], strict=True):
        if block[1] == "python":
            shown = after[2] if after and after[1] == "text" else ""
            yield Snippet(text.count("\n", 0, block.start(2)) + 1, block[2], shown)


SNIPPETS = {snippet.line: snippet for snippet in snippets()} if GUIDE.exists() else {}


@pytest.fixture(scope="module")
def printed(tmp_path_factory: pytest.TempPathFactory) -> dict[int, str]:
    """What each snippet prints, by line. One process runs all: what they register stays there."""
    script = "".join(f"print('@@{s.line}')\n{s.code}" for s in SNIPPETS.values())
    folder = tmp_path_factory.mktemp("guide")
    (folder / "guide.py").write_text(script, "utf-8")
    command = [sys.executable, "-W", "error", "guide.py"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    parts = re.split(r"^@@(\d+)\n", done.stdout, flags=re.M)[1:]
    found = dict(zip(map(int, parts[::2]), parts[1::2], strict=True))
    assert done.returncode == 0, f"{GUIDE.name}, line {max(found, default=0)} ff.:\n{done.stderr}"
    return found


@pytest.mark.parametrize("line", SNIPPETS)
def test_a_snippet_prints_what_the_guide_shows(printed: dict[int, str], line: int) -> None:
    shown = NOT_COMPARED.sub("#", SNIPPETS[line].shown)
    assert NOT_COMPARED.sub("#", printed[line]) == shown


def test_the_guide_shows_what_most_snippets_print() -> None:
    """Lest a typing error in a fence leaves a block out."""
    assert len(SNIPPETS) == GUIDE.read_text("utf-8").count("```python")
    assert sum(bool(snippet.shown) for snippet in SNIPPETS.values()) > len(SNIPPETS) / 2
