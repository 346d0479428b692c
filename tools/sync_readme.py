"""Copy each package's README snippet into the top README, where the same snippet stands.

`python tools/sync_readme.py` rewrites README.md; a test fails while the two differ.
"""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parent.parent
PACKAGES = ("ops", "data", "models", "inflation", "training")
SNIPPET = re.compile(r"```python\n.*?```", re.DOTALL)


def main() -> None:
    readme = ROOT / "README.md"
    text = readme.read_text("utf-8")
    for package in PACKAGES:
        source = (ROOT / "packages" / package / "README.md").read_text("utf-8")
        found = SNIPPET.search(source)
        heading = text.find(f"### tomolift-{package}\n")
        if found is None or heading < 0:
            raise SystemExit(f"{package}: no snippet in its README, or no heading in README.md")
        shown = SNIPPET.search(text, heading)
        if shown is None:
            raise SystemExit(f"README.md: no snippet under ### tomolift-{package}")
        text = text[: shown.start()] + found.group() + text[shown.end() :]
    readme.write_text(text, "utf-8")


if __name__ == "__main__":
    main()
