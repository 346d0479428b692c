"""The table in words: Markdown for report.md, columns for the terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import JustifyMethod
from rich.table import Table
from rich.text import Text

from ._table import Row


def markdown_table(rows: Sequence[Row], class_names: Sequence[str]) -> str:
    """GitHub Markdown, one line a row."""
    header = [name.replace("|", "\\|") for name in _header(class_names)]
    lines = ["| " + " | ".join(header) + " |", "|---" + "|---:" * (len(header) - 1) + "|"]
    lines += ["| " + " | ".join(_cells(row)) + " |" for row in rows]
    return "\n".join(lines) + "\n"


def console_table(rows: Sequence[Row], class_names: Sequence[str]) -> Table:
    """The same rows for a terminal of 80 columns: arms by their short names, no Dice."""
    table = Table(title="Table 1: the paper's mean IoU beside ours (pooled)")
    header = ["arm", "paper", "mean IoU", "per case"]
    header += [*(f"IoU {name}" for name in class_names), "epochs", "s/epoch"]
    for index, name in enumerate(header):
        justify: JustifyMethod = "left" if index == 0 else "right"
        # Class names come from a file: as Text they cannot be markup.
        table.add_column(Text(name), justify=justify, no_wrap=index == 0)
    dice = range(4 + len(class_names), 3 + 2 * len(class_names))
    for row in rows:
        cells = [cell for index, cell in enumerate(_cells(row)) if index not in dice]
        table.add_row(row.arm, *cells[1:])
    return table


def remarks(rows: Sequence[Row], class_names: Sequence[str]) -> list[str]:
    """What a reader must know before believing the table."""
    floor = rows[0].scores
    foreground = " and ".join(class_names[1:])
    lines = [
        f"Predicting background everywhere scores {floor.mean_iou_pooled:.4f} pooled and "
        f"{floor.mean_iou_per_case:.4f} as a mean over cases: that is the floor, not zero. The "
        f"paper's floor is 0.3325. Only the IoU of {foreground} says what was learned.",
        "Mean IoU (pooled) is the mean over all classes, background included, of the IoU of one "
        "confusion matrix summed over every voxel of the evaluation cases. Every figure is the "
        "last epoch's: no checkpoint is chosen by its evaluation.",
    ]
    for row in rows[2:]:
        if row.scores.collapsed:
            lines.append(f"**{row.label} predicts only background**: it learned nothing.")
    excluded = [
        f"{name} in {count}" for name, count in zip(class_names, floor.excluded, strict=True)
        if count
    ]  # fmt: skip
    if excluded:
        lines.append(
            "A case's mean IoU leaves out a class that it neither has nor is predicted to have. "
            "Cases without a class: "
            + ", ".join(excluded) + "."
        )  # fmt: skip
    return lines


def _header(class_names: Sequence[str]) -> list[str]:
    return [
        "row",
        "paper mean IoU",
        "mean IoU (pooled)",
        "mean IoU (per case)",
        *(f"IoU {name}" for name in class_names),
        *(f"Dice {name}" for name in class_names[1:]),
        "epochs",
        "s/epoch",
    ]


def _cells(row: Row) -> list[str]:
    scores = row.scores
    return [
        row.label + (" (collapsed)" if scores.collapsed and row.epochs else ""),
        _number(row.paper_mean_iou),
        _number(scores.mean_iou_pooled),
        _number(scores.mean_iou_per_case),
        *map(_number, scores.iou),
        *map(_number, scores.dice[1:]),
        str(row.epochs) if row.epochs else "-",
        f"{row.seconds_per_epoch:.1f}" if row.epochs else "-",
    ]


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"
