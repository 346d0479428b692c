"""The tables in words: Markdown for report.md, columns for the terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import JustifyMethod
from rich.table import Table
from rich.text import Text

from ..comparison import ContrastOutcome, ReachedThreshold, Row

_Interval = tuple[float, float] | None


def markdown_table(rows: Sequence[Row], class_names: Sequence[str]) -> str:
    """Table 1 in GitHub Markdown, one line a row."""
    header = [
        "row",
        "paper mean IoU",
        "mean IoU (pooled)",
        "95 % interval",
        "mean IoU (per case)",
        *(f"IoU {name}" for name in class_names),
        *(f"Dice {name}" for name in class_names[1:]),
        "epochs",
        "s/epoch",
    ]
    return _markdown(header, [_cells(row) for row in rows])


def markdown_contrasts(outcomes: Sequence[ContrastOutcome]) -> str:
    """The declared contrasts, one line each."""
    header = [
        "contrast",
        "difference (pooled)",
        "95 % interval",
        "difference (per case)",
        "95 % interval",
        "better in",
        "p",
        "p (Holm)",
        "p across folds",
    ]
    return _markdown(header, [_contrast_cells(outcome) for outcome in outcomes])


def markdown_thresholds(thresholds: Sequence[ReachedThreshold]) -> str:
    """First epoch at which each arm reaches each foreground IoU, a line an arm."""
    values = sorted({each.threshold for each in thresholds})
    by_arm: dict[str, list[str]] = {}
    for each in sorted(thresholds, key=lambda each: each.threshold):
        share = "" if each.fraction == 1 else f" ({each.fraction:g} of the cases)"
        by_arm.setdefault(each.arm + share, []).append(_threshold_cell(each))
    header = ["arm", *(f"IoU {value:g}" for value in values)]
    return _markdown(header, [[arm, *cells] for arm, cells in by_arm.items()])


def markdown_fractions(rows: Sequence[Row]) -> str:
    """Pooled mean IoU of every arm at every share of the training cases."""
    header = ["row", "share", "training cases", "mean IoU (pooled)", "95 % interval"]
    return _markdown(
        header,
        [
            [
                row.label,
                f"{row.fraction:g}",
                f"{row.training_cases:g}",
                _number(row.scores.mean_iou_pooled),
                _between(row.interval_pooled),
            ]
            for row in rows
            if row.training_cases
        ],
    )


def console_table(rows: Sequence[Row], class_names: Sequence[str]) -> Table:
    """Table 1 for a terminal of 80 columns: arms by their short names, no Dice, no interval."""
    title = "Table 1: the paper's mean IoU beside ours (pooled)"
    header = ["arm", "paper", "mean IoU", "per case"]
    header += [*(f"IoU {name}" for name in class_names), "epochs", "s/epoch"]
    dice = range(5 + len(class_names), 4 + 2 * len(class_names))
    body = [
        [row.arm, *(cell for index, cell in enumerate(_cells(row)) if index not in (0, 3, *dice))]
        for row in rows
    ]
    return _console(title, header, body)


def console_contrasts(outcomes: Sequence[ContrastOutcome]) -> Table:
    """The declared contrasts for a terminal."""
    header = ["contrast", "difference", "95 % interval", "better in", "p", "p (Holm)", "p folds"]
    body = []
    for outcome in outcomes:
        cells = _contrast_cells(outcome)
        body.append([*cells[:3], *cells[5:]])
    return _console("First minus second, mean IoU (pooled); p per case", header, body)


def _cells(row: Row) -> list[str]:
    scores = row.scores
    return [
        row.label + (" (collapsed)" if scores.collapsed and row.epochs else ""),
        _number(row.paper_mean_iou),
        _number(scores.mean_iou_pooled),
        _between(row.interval_pooled),
        _number(scores.mean_iou_per_case),
        *map(_number, scores.iou),
        *map(_number, scores.dice[1:]),
        str(row.epochs) if row.epochs else "-",
        f"{row.seconds_per_epoch:.1f}" if row.epochs else "-",
    ]


def _contrast_cells(outcome: ContrastOutcome) -> list[str]:
    contrast, folds = outcome.contrast, outcome.fold_test
    return [
        f"{contrast.first} - {contrast.second}",
        f"{outcome.difference_pooled:+.4f}",
        _between(outcome.interval_pooled, sign="+"),
        f"{outcome.difference_per_case:+.4f}",
        _between(outcome.interval_per_case, sign="+"),
        f"{outcome.cases_better} of {outcome.cases}",
        f"{outcome.sign_flip.p_value:.3g}",
        f"{outcome.p_holm:.3g}",
        f"{folds.p_value:.3g}" if folds else "-",
    ]


def _threshold_cell(reached: ReachedThreshold) -> str:
    """The median epoch, and in how many runs where it is not all of them."""
    runs = len(reached.first_epochs)
    late = f"not in {reached.last_epoch} epochs"
    median = late if reached.median is None else f"{reached.median:g}"
    return (
        median if reached.reached in (0, runs) else f"{median} ({reached.reached} of {runs} runs)"
    )


def _markdown(header: Sequence[str], body: Sequence[Sequence[str]]) -> str:
    def line(cells: Sequence[str]) -> str:
        return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"

    rule = "|---" + "|---:" * (len(header) - 1) + "|"
    return "\n".join([line(header), rule, *map(line, body)]) + "\n"


def _console(title: str, header: Sequence[str], body: Sequence[Sequence[str]]) -> Table:
    table = Table(title=title)
    for index, name in enumerate(header):
        justify: JustifyMethod = "left" if index == 0 else "right"
        # Class names come from a file: as Text they cannot be markup.
        table.add_column(Text(name), justify=justify, no_wrap=index == 0)
    for cells in body:
        table.add_row(*map(Text, cells))
    return table


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def _between(interval: _Interval, *, sign: str = "") -> str:
    return "-" if interval is None else f"{interval[0]:{sign}.4f} to {interval[1]:{sign}.4f}"
