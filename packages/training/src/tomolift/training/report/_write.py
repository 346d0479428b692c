"""Writes the report of a comparison from its CSV files: after `reproduce`, and by `compare`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .._files import write_json, write_text
from ..comparison import Analysis, analyse
from ._contrasts import draw_contrasts
from ._curves import draw_classes, draw_curves, draw_fractions
from ._remarks import contrast_remarks, remarks
from ._text import (
    markdown_contrasts,
    markdown_fractions,
    markdown_table,
    markdown_thresholds,
)

_FIGURES = {
    "curves.png": "learning curves",
    "classes.png": "classes",
    "contrasts.png": "contrasts",
    "fractions.png": "shares of the training cases",
    "overlays.png": "overlays",
}


def write_report(out: Path) -> Analysis:
    """Write report.json, report.md and figures/ from per_case.csv, epochs.csv, provenance.json.

    figures/overlays.png, which takes networks and volumes, is left as it is found.

    Args:
        out: the comparison's folder.

    Returns:
        What the report says.

    Raises:
        ConfigError: one of the files is missing or damaged.
    """
    analysis = analyse(out)
    figures = out / "figures"
    draw_curves(analysis.curves, analysis.rows, figures / "curves.png")
    draw_classes(analysis.rows, analysis.class_names, figures / "classes.png")
    if analysis.contrasts:
        draw_contrasts(analysis.contrasts, figures / "contrasts.png")
    if analysis.fraction_rows:
        draw_fractions([*analysis.rows, *analysis.fraction_rows], figures / "fractions.png")
    write_text(out / "report.md", _markdown(analysis, figures))
    write_json(out / "report.json", analysis.to_json())
    return analysis


def _markdown(analysis: Analysis, figures: Path) -> str:
    facts = analysis.provenance
    shown = [name for name in _FIGURES if (figures / name).exists()]
    return "\n".join(
        [
            f"# tomolift: {_title(facts)}",
            "",
            _setting(analysis),
            "",
            markdown_table(analysis.rows, analysis.class_names),
            *(f"* {line}" for line in remarks(analysis)),
            "",
            "## Contrasts",
            "",
            *_contrasts(analysis),
            "",
            "## Epochs to a foreground IoU",
            "",
            "The first epoch, 0 being before any training, at which a run's pooled IoU, mean over "
            "the foreground classes, is at least so high; the median over the runs, those that "
            "never get there counted as later than all.",
            "",
            markdown_thresholds(analysis.thresholds),
            *_fractions(analysis),
            *(f"![{_FIGURES[name]}](figures/{name})" for name in shown),
            "",
            "## Provenance",
            "",
            *(_provenance_lines(facts) if facts else ["* provenance.json is missing: unknown"]),
            "",
        ]
    )


def _contrasts(analysis: Analysis) -> list[str]:
    if not analysis.contrasts:
        return ["None of the declared contrasts is between arms of this comparison."]
    lines = [f"* {line}" for line in contrast_remarks(analysis)]
    return [markdown_contrasts(analysis.contrasts), *lines]


def _fractions(analysis: Analysis) -> list[str]:
    if not analysis.fraction_rows:
        return []
    rows = [*analysis.rows, *analysis.fraction_rows]
    return ["## Shares of the training cases", "", markdown_fractions(rows)]


def _title(facts: dict[str, Any] | None) -> str:
    return f"{facts['task']}, profile {facts['config']['name']}" if facts else "comparison"


def _setting(analysis: Analysis) -> str:
    """How much was run, and from what."""
    facts = analysis.provenance
    runs = f"folds {list(analysis.folds)}, seeds {list(analysis.seeds)}"
    if facts is None:
        return f"{len(analysis.cases)} cases evaluated ({runs})."
    parts = facts["config"]["comparison"]["split_folds"]
    return (
        f"{len(facts['cases'])} cases, {len(analysis.cases)} of them evaluated ({runs}; the split "
        f"has {parts} folds); 2D source: {_source(facts['weights'])}. The paper's column is MSD "
        "pancreas CT with a VOC network: other data, for orientation only, unless that ran here."
    )


def _provenance_lines(facts: dict[str, Any]) -> list[str]:
    return [
        f"* command: `{facts['command']}`",
        f"* finished {facts['finished']} on {facts['device']}, {facts['precision']}, "
        f"torch {facts['versions']['torch']}, commit {facts['commit']}",
        f"* cache {facts['cache_fingerprint']}, split {facts['split_sha256'][:12]}",
        f"* dropped: {_counted(facts['dropped'])}; failed: {_counted(facts['failed'])}",
        "* configuration, and what each run ran with, stand in report.json",
    ]


def _counted(cases: dict[str, Any]) -> str:
    return ", ".join(f"{case} ({why})" for case, why in cases.items()) or "none"


def _source(weights: dict[str, Any] | None) -> str:
    if weights is None:
        return "none"
    facts = {key: value for key, value in weights.items() if key not in ("origin", "sha256")}
    words = "".join(f", {name.replace('_', ' ')} {value:.4g}" for name, value in facts.items())
    return f"{weights['origin']} (sha256 {weights['sha256'][:12]}{words})"
