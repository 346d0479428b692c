"""From what a finished run left (pytest-benchmark, or tools/gpu_check.py) to kept runs."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmark_history.runs import HistoryError, Machine, Metric, Row, Run, in_one_line, write_run

KEPT_SIZES = "full"
GPU_CHECKED = "ops"  # the suite whose benchmarks tools/gpu_check.py runs
CommitOf = Callable[[str], tuple[str, bool]]  # of a suite: abbreviated, and whether changed since


@dataclass(frozen=True)
class Finished:
    """A suite's runs, one a kind of device, and at which sizes: only full ones are kept."""

    runs: tuple[Run, ...]
    sizes: str
    suite: str


def read_finished(path: Path, *, command: str, commit_of: CommitOf) -> Finished | None:
    """Read the JSON of pytest-benchmark or of tools/gpu_check.py, which has a commit of its own.

    Returns:
        What was measured; None where no benchmark ran and the file is empty.

    Raises:
        HistoryError: the file is neither.
    """
    try:
        document = json.loads(path.read_text("utf-8") or "null")
        if document is None:
            return None
        if "parts" in document:
            return Finished((_from_gpu_check(document),), KEPT_SIZES, GPU_CHECKED)
        facts = document["machine_info"]["tomolift"]
        runs = _from_pytest(document, command, *commit_of(facts["suite"]))
        return Finished(tuple(runs), facts["sizes"], facts["suite"])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise HistoryError(
            f"{path}: neither pytest-benchmark's JSON nor gpu_check's ({in_one_line(error)})"
        ) from error


def keep(run: Run, folder: Path) -> Path:
    """Write folder/DEVICE/DATE-COMMIT.json; a second run of that day and commit gets a number."""
    device = re.sub(r"[^a-z0-9]+", "-", run.machine.device.lower()).strip("-")
    stem = f"{run.started[:10]}-{run.commit}"
    names = [stem, *(f"{stem}-{number}" for number in range(2, 100))]
    paths = (folder / device / f"{name}.json" for name in names)
    path = next(path for path in paths if not path.exists())
    write_run(run, path)
    return path


def _from_pytest(
    document: dict[str, Any], command: str, commit: str, uncommitted: bool
) -> list[Run]:
    facts = document["machine_info"]["tomolift"]
    cases = [{"name": case["name"], **case["extra_info"]} for case in document["benchmarks"]]
    machines = {
        "cpu": Machine(
            kind="cpu", device=facts["processor"], isa=facts["isa"], threads=facts["threads"],
            torch=facts["torch"], python=facts["python"],
        ),
        "cuda": Machine(
            kind="cuda", device=str(facts["cuda_device"]), isa=str(facts["cuda_capability"]),
            threads=None, torch=facts["torch"], python=facts["python"],
        ),
    }  # fmt: skip
    runs = []
    for kind, machine in machines.items():
        rows = tuple(_row(case) for case in cases if case["device"] == kind)
        if rows:
            runs.append(
                Run(
                    started=document["datetime"][:19], commit=commit,
                    uncommitted_changes=uncommitted, command=command, machine=machine, rows=rows,
                )
            )  # fmt: skip
    return runs


def _from_gpu_check(document: dict[str, Any]) -> Run:
    facts, part = document["machine"], document["parts"]["benchmarks"]
    if not part.get("cases"):
        raise HistoryError(f"gpu_check's benchmarks {part['status']}: {part.get('why', 'no case')}")
    return Run(
        started=document["started"][:19],
        commit=str(facts["commit"])[:7],
        uncommitted_changes=facts["uncommitted_changes"],
        command="python tools/gpu_check.py",
        machine=Machine(
            kind="cuda", device=facts["device"], isa=facts["compute_capability"], threads=None,
            torch=facts["torch"], python=facts["python"],
        ),
        rows=tuple(_row(case) for case in part["cases"]),
    )  # fmt: skip


def _row(case: dict[str, Any]) -> Row:
    rest = {name: value for name, value in case.items() if name not in ("device", "median_us")}
    known = {name: rest.pop(name) for name in ("name", "group", "rounds")}
    medians = {name: _rounded(value) for name, value in rest.pop("medians_us").items()}
    metrics = {
        name: Metric(_rounded(metric["value"]), metric["unit"])
        for name, metric in rest.pop("metrics").items()
    }
    return Row(**known, metrics=metrics, medians_us=medians, extra=_rounded_all(rest))


def _rounded(value: float) -> float:
    """Four significant digits: more than any of these figures holds from run to run."""
    return float(f"{value:.4g}")


def _rounded_all(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _rounded_all(each) for name, each in value.items()}
    return _rounded(value) if isinstance(value, float) else value
