"""Print the history of the benchmarks' ratios; fail where one fell by more than 15 %.

python tools/compare_benchmarks.py                          history, falls; exit status 1 if any
python tools/compare_benchmarks.py --keep FINISHED_JSON     keep a run; print the table of targets
python tools/compare_benchmarks.py --write-docs             write docs/results/SUITE.md and plots

A suite is what a packages/*/benchmarks/targets.toml describes. FINISHED_JSON is pytest-benchmark's,
as `nox -s benchmark` leaves it for each suite, or tools/gpu_check.py's. Runs are compared with
earlier ones of the same processor model, instruction set and threads only. Exit status 2: a file
could not be read.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from benchmark_history.collecting import KEPT_SIZES, keep, read_finished
from benchmark_history.document import write_document
from benchmark_history.history import by_machine, falls, read_history
from benchmark_history.runs import HistoryError, Run
from benchmark_history.suites import Suite, find_suites, read_suites
from benchmark_history.tables import TARGET_COLUMNS, history_table, plain
from benchmark_history.targets import judge

ROOT = Path(__file__).parent.parent


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--keep", type=Path, metavar="FINISHED_JSON")
    parser.add_argument("--command", default="nox -s benchmark", help="what measured FINISHED_JSON")
    parser.add_argument("--write-docs", action="store_true")
    parser.add_argument("--results", type=Path, default=ROOT / "docs" / "results")
    parser.add_argument(
        "--targets", type=Path, nargs="+", help="the suites' files; by default all packages'"
    )
    options = parser.parse_args(arguments)
    try:
        return perform(options)
    except (HistoryError, OSError) as error:
        print(f"compare_benchmarks: {error}", file=sys.stderr)
        return 2


def perform(options: argparse.Namespace) -> int:
    suites = find_suites(ROOT) if options.targets is None else read_suites(options.targets)
    folder = options.results / "benchmarks"
    kept = None
    if options.keep is not None:
        kept = keep_finished(options.keep, options.command, suites, folder)
    if options.write_docs:
        for suite in suites:
            path = write_document(suite, read_history(folder / suite.name), options.results)
            print(f"written: {path}")
    if kept is not None:
        standings = judge(kept.targets, read_history(folder / kept.name))
        print(plain(TARGET_COLUMNS, [standing.cells for standing in standings]))
    return 0 if options.keep is not None or options.write_docs else compare(suites, folder)


def keep_finished(path: Path, command: str, suites: Sequence[Suite], folder: Path) -> Suite | None:
    """Keep what was measured at full sizes, print the rest; return the suite, None if nothing."""
    finished = read_finished(path, command=command, commit_of=partial(describe_commit, suites))
    if finished is None or not finished.runs:
        print("nothing was measured, nothing is kept")
        return None
    suite = suite_called(finished.suite, suites)
    for run in finished.runs:
        if finished.sizes == KEPT_SIZES:
            print(f"kept as {keep(run, folder / suite.name)}")
        else:
            print(
                f"measured at --sizes {finished.sizes}, not kept:\n{plain(*history_table([run]))}\n"
            )
    return suite


def compare(suites: Sequence[Suite], folder: Path) -> int:
    """Print each suite's history on each machine and what fell; 1 if anything did."""
    runs: list[Run] = []
    fallen = []
    for suite in suites:
        history = read_history(folder / suite.name)
        for group in by_machine(history):
            machine = group[-1].machine.describe()
            print(f"{suite.name} on {machine}\n{plain(*history_table(group))}\n")
        fallen += falls(history)
        runs += history
    for fall in fallen:
        print(f"fell: {fall}")
    if not runs:
        print("no run was kept yet: nox -s benchmark")
    elif not fallen:
        print("no ratio fell by more than 15 %")
    return int(bool(fallen))


def suite_called(name: str, suites: Sequence[Suite]) -> Suite:
    found = next((suite for suite in suites if suite.name == name), None)
    if found is None:
        known = ", ".join(suite.name for suite in suites)
        raise HistoryError(f"no suite is called {name!r}, expected one of {known}")
    return found


def describe_commit(suites: Sequence[Suite], name: str) -> tuple[str, bool]:
    """The abbreviated commit, and whether what the suite's figures depend on differs from it."""
    commit = ask_git("rev-parse", "--short=7", "HEAD").strip()
    measured = suite_called(name, suites).measured
    return commit, bool(ask_git("status", "--porcelain", "--", *measured).strip())


def ask_git(*words: str) -> str:
    done = subprocess.run(("git", *words), cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise HistoryError(f"git {words[0]} failed ({done.stderr.strip()}): run in a clone")
    return done.stdout


if __name__ == "__main__":
    sys.exit(main())
