"""A plan as text for a terminal."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ._plan_layer import LayerPlan, describe_depth

if TYPE_CHECKING:
    from ._plan import InflationPlan

_HEAD = ("layer", "type", "in the plane", "along depth", "strategy", "action", "contract")
_NO_CONTRACT = "none"


def table(layers: Sequence[LayerPlan]) -> str:
    """A line per layer, columns aligned; the strategy stands only where it decides something."""
    rows = [_HEAD, *map(_cells, layers)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEAD))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )


def summary(plan: InflationPlan) -> str:
    """Counts, stem, forecast, receptive field, and what is refused and why."""
    counts = Counter(row.action for row in plan.layers)
    counted = ", ".join(f"{number} {action}" for action, number in counts.items())
    lines = [f"{len(plan.layers)} layers: {counted}"]
    if plan.in_channels is not None:
        lines.append(f"input channels: {plan.in_channels}, by the sum over the stem's own")
    refused = [row.reason for row in plan.refused]
    if refused:
        lines += [f"refused: {reason}" for reason in refused]
    if plan.problem:
        lines.append(f"does not run: {plan.problem}")
    if not refused and not plan.problem:
        lines.append(str(plan.forecast))
        lines += _receptive_field(plan)
    return "\n".join(lines)


def _cells(row: LayerPlan) -> tuple[str, ...]:
    return (
        row.name or "(network)",
        row.kind,
        row.plane,
        describe_depth(row),
        type(row.rules.strategy).__name__ if row.has_new_values else "",
        row.action,
        "" if row.action == "refused" else row.forecast.contract or _NO_CONTRACT,
    )


def _receptive_field(plan: InflationPlan) -> list[str]:
    if plan.receptive_field is None:
        return []
    axes = zip(
        ("depth", "height", "width"),
        plan.receptive_field.size,
        plan.spacing_mm or (None,) * 3,
        strict=True,
    )
    shown = ", ".join(f"{axis} {_extent(cells, spacing)}" for axis, cells, spacing in axes)
    return [f"receptive field: {shown}{'' if plan.spacing_mm else ' voxels'}"]


def _extent(cells: float, spacing_mm: float | None) -> str:
    if math.isinf(cells):
        return "all"
    if spacing_mm is None:
        return f"{cells:g}"
    return f"{cells * spacing_mm:g} mm ({cells:g} voxels)"
