"""`tomolift compare`: tables, statistics and figures again, from the CSV files alone."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import tyro

from ..errors import ConfigError


def compare(out: Annotated[Path, tyro.conf.Positional]) -> int:
    """Write a comparison's report again from per_case.csv and epochs.csv; no weights, no volumes.

    Args:
        out: the comparison's folder, where `tomolift reproduce` left both files. Rows of other
            programs that are added to per_case.csv are compared too.
    """
    from ..report import write_report
    from ._show import show_report

    if not out.is_dir():
        raise ConfigError(f"{out}: no folder; give the --out of `tomolift reproduce`")
    show_report(write_report(out), out)
    return 0
