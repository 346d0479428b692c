"""Convert one network of each of 36 families in timm and compare its features at every slice.

python tools/coverage_timm.py --timm FOLDER                every family, a line each
python tools/coverage_timm.py --timm FOLDER --only vit     one of them
python tools/coverage_timm.py --timm FOLDER --keep         write docs/results/timm_coverage.json and
                                                           the section in docs/results/inflation.md

`nox -s coverage_timm` installs timm into a folder of its own and keeps what is found. The exit
status is 1 where a converted network is silently wrong.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from datetime import date
from pathlib import Path
from typing import Any

import torch
from generated_section import replace_section
from timm_coverage.document import section
from timm_coverage.importing import import_timm
from timm_coverage.measuring import TOLERANCE, measure
from timm_coverage.networks import build, families

RESULTS = Path(__file__).parent.parent / "docs" / "results"
JSON, DOCUMENT = RESULTS / "timm_coverage.json", RESULTS / "inflation.md"
SEED = 0


def main(arguments: Sequence[str] | None = None) -> int:
    options = parser().parse_args(arguments)
    if options.keep and options.only:
        parser().error("--keep needs every family: leave out --only")
    timm = import_timm(options.timm)
    torch.set_num_threads(options.threads)
    networks: dict[str, Any] = {}
    for family, name in families().items():
        if options.only and family not in options.only:
            continue
        started = time.perf_counter()
        finding = measure(build(timm, name, seed=SEED), seed=SEED)
        networks[family] = {"network": name, **asdict(finding)}
        error = "-" if finding.error is None else f"{finding.error:.1e}"
        seconds = time.perf_counter() - started
        print(
            f"{family:20} {finding.verdict:30} {error:>8} {seconds:5.1f} s  {finding.message}",
            flush=True,
        )
    if options.keep:
        keep(networks, timm_version=timm.__version__)
    return int(any(each["verdict"] == "silently wrong" for each in networks.values()))


def keep(networks: dict[str, Any], *, timm_version: str) -> None:
    """Write the JSON, and the document from it."""
    found = {
        "command": "nox -s coverage_timm",
        "date": date.today().isoformat(),
        "seed": SEED,
        "tolerance": TOLERANCE,
        "versions": {
            "timm": timm_version,
            "torch": torch.__version__,
            "Python": platform.python_version(),
        },
        "networks": networks,
    }
    _replace(JSON, json.dumps(found, indent=1) + "\n")
    written = json.loads(JSON.read_text())
    _replace(DOCUMENT, replace_section(DOCUMENT.read_text(), "coverage", section(written)))


def parser() -> argparse.ArgumentParser:
    result = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    result.add_argument("--timm", type=Path, help="folder that holds timm; as installed by default")
    result.add_argument("--only", nargs="+", choices=list(families()), help="these families")
    result.add_argument("--keep", action="store_true", help="keep the figures; needs all families")
    result.add_argument("--threads", type=int, default=1, help="of torch")
    return result


def _replace(path: Path, text: str) -> None:
    scratch = path.with_name(f".{path.name}.new")
    scratch.write_text(text)
    scratch.replace(path)


if __name__ == "__main__":
    sys.exit(main())
