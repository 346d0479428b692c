"""The benchmark suites: what each measures, what it shall reach, and what its document says."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmark_history.runs import HistoryError
from benchmark_history.units import UNITS


@dataclass(frozen=True, kw_only=True)
class Target:
    """on is part of the description of the machines that it is for; "" is all."""

    title: str
    metric: str
    unit: str
    must: float
    aim: float | None = None
    on: str = ""


@dataclass(frozen=True, kw_only=True)
class Suite:
    """A targets.toml.

    Attributes:
        name: of its document, of its plot, and of the folder that its runs are kept in.
        title: of its document.
        measured: paths in the repository that its figures depend on.
        kinds: the kinds of device that it has targets for, of "cpu" and "cuda".
        reading: how its document says that figures are to be read.
        columns: of the table of what a run rests on, besides those that every suite has.
        targets: what shall be reached.
        section: which part of its document is generated, where others write the rest of it; "" is
            all of it.
    """

    name: str
    title: str
    measured: tuple[str, ...]
    kinds: tuple[str, ...]
    reading: str
    columns: tuple[str, ...]
    targets: tuple[Target, ...]
    section: str = ""


def find_suites(root: Path) -> list[Suite]:
    """Every packages/*/benchmarks/targets.toml of a checkout, by name."""
    return read_suites(sorted(root.glob("packages/*/benchmarks/targets.toml")))


def read_suites(paths: Sequence[Path]) -> list[Suite]:
    """The suites that these files describe, by name.

    Raises:
        HistoryError: a file is not of this form, or two have one name.
    """
    suites = {}
    for path in paths:
        suite = read_suite(path)
        if suite.name in suites:
            raise HistoryError(f"{path}: another suite is called {suite.name}, too")
        suites[suite.name] = suite
    return [suites[name] for name in sorted(suites)]


def read_suite(path: Path) -> Suite:
    """One suite.

    Raises:
        HistoryError: the file is not of this form.
    """
    try:
        document = tomllib.loads(path.read_text("utf-8"))
        targets = tuple(Target(**table) for table in document.pop("target"))
        lists: dict[str, Any] = {
            name: tuple(document.pop(name)) for name in ("measured", "kinds", "columns")
        }
        suite = Suite(**document, **lists, targets=targets)
        wrong = [target.metric for target in targets if target.unit not in UNITS]
    except (tomllib.TOMLDecodeError, KeyError, TypeError) as error:
        raise HistoryError(f"{path}: not a suite and its targets ({error})") from error
    if wrong:
        raise HistoryError(f"{path}: {wrong[0]!r} has no known unit, expected one of {list(UNITS)}")
    return suite
