"""One run of the benchmarks, as it is kept: a JSON file of a schema of our own."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from benchmark_history.units import UNITS

SCHEMA = 1


class HistoryError(Exception):
    """A file is not what it should be; the message says which and how, in one line."""


@dataclass(frozen=True)
class Metric:
    """A figure and its unit, one of units.UNITS."""

    value: float
    unit: str


@dataclass(frozen=True, kw_only=True)
class Machine:
    """kind is "cpu" or "cuda", device the processor's model or the GPU's name.

    isa is the instruction set, on CUDA the compute capability; threads is None on CUDA.
    """

    kind: str
    device: str
    isa: str
    threads: int | None
    torch: str
    python: str | None = None

    @property
    def key(self) -> tuple[str, str, str, int | None]:
        """What must be equal for figures to be comparable."""
        return self.kind, self.device, self.isa, self.threads

    def describe(self) -> str:
        """Device, instruction set and threads in a line."""
        if self.threads is None:
            return f"{self.device}, {self.isa}"
        return f"{self.device}, {self.isa}, {self.threads} thread{'s' * (self.threads != 1)}"


@dataclass(frozen=True, kw_only=True)
class Row:
    """One benchmark: its metrics, the medians in microseconds and rounds of all it raced."""

    name: str
    group: str
    metrics: Mapping[str, Metric]
    medians_us: Mapping[str, float]
    rounds: Mapping[str, int]
    extra: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Run:
    """started is an ISO time in UTC; commit is abbreviated."""

    started: str
    commit: str
    uncommitted_changes: bool
    command: str
    machine: Machine
    rows: tuple[Row, ...]

    @property
    def metrics(self) -> dict[str, Metric]:
        """Every figure of the run by its name."""
        return {name: metric for row in self.rows for name, metric in row.metrics.items()}

    @property
    def label(self) -> str:
        """Date and commit; a plus stands for changes on top of it."""
        return f"{self.started[:10]} {self.commit}{'+' if self.uncommitted_changes else ''}"


def write_run(run: Run, path: Path) -> None:
    document = {"schema": SCHEMA, **asdict(run)}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document, indent=1) + "\n", "utf-8")


def read_run(path: Path) -> Run:
    """Read what write_run wrote.

    Raises:
        HistoryError: the file is no JSON, of another schema, or lacks something.
    """
    try:
        document = json.loads(path.read_text("utf-8"))
        if document.pop("schema") != SCHEMA:
            raise HistoryError(f"{path}: its schema is not {SCHEMA}, which this version reads")
        rows = tuple(_row(row) for row in document.pop("rows"))
        return Run(machine=Machine(**document.pop("machine")), rows=rows, **document)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise HistoryError(
            f"{path}: not a kept benchmark run ({in_one_line(error)}): delete or repair it"
        ) from error


def in_one_line(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())


def _row(row: dict[str, Any]) -> Row:
    metrics = {
        str(name): Metric(float(metric["value"]), str(metric["unit"]))
        for name, metric in row.pop("metrics").items()
    }
    for name, metric in metrics.items():
        if metric.unit not in UNITS or not metric.value >= 0:
            raise ValueError(f"metric {name!r} is {metric.value} {metric.unit}")
    return Row(metrics=metrics, **row)
