"""A finished report on the terminal."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from ..comparison import Analysis
from ..report import console_contrasts, console_table


def show_report(analysis: Analysis, out: Path) -> None:
    """Print Table 1 and the contrasts, and where the report lies."""
    console = Console()
    if not console.is_terminal:
        console = Console(width=160)
    console.print(console_table(analysis.rows, analysis.class_names))
    if analysis.contrasts:
        console.print(console_contrasts(analysis.contrasts))
    console.print(f"{out / 'report.md'} (report.json, per_case.csv, figures/)", soft_wrap=True)
