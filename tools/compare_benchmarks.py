"""Print the history of the benchmarks' ratios; fail where one fell by more than 15 %.

python tools/compare_benchmarks.py                          history, falls; exit status 1 if any
python tools/compare_benchmarks.py --keep FINISHED_JSON     keep a run; print the table of targets
python tools/compare_benchmarks.py --write-docs             write docs/results/ops.md and its plot

FINISHED_JSON is pytest-benchmark's, as `nox -s benchmark` leaves it, or tools/gpu_check.py's. Runs
are compared with earlier ones of the same processor model, instruction set and threads only. Exit
status 2: a file could not be read.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

from benchmark_history.collecting import KEPT_SIZES, keep, read_finished
from benchmark_history.document import write_document
from benchmark_history.history import by_machine, falls, read_history
from benchmark_history.runs import HistoryError, Run
from benchmark_history.tables import TARGET_COLUMNS, history_table, plain
from benchmark_history.targets import judge, read_targets

ROOT = Path(__file__).parent.parent
MEASURED = ("csrc", "packages/ops/src", "packages/ops/benchmarks")  # what a figure depends on


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--keep", type=Path, metavar="FINISHED_JSON")
    parser.add_argument("--command", default="nox -s benchmark", help="what measured FINISHED_JSON")
    parser.add_argument("--write-docs", action="store_true")
    parser.add_argument("--results", type=Path, default=ROOT / "docs" / "results")
    parser.add_argument(
        "--targets", type=Path, default=ROOT / "packages" / "ops" / "benchmarks" / "targets.toml"
    )
    options = parser.parse_args(arguments)
    try:
        return perform(options)
    except (HistoryError, OSError) as error:
        print(f"compare_benchmarks: {error}", file=sys.stderr)
        return 2


def perform(options: argparse.Namespace) -> int:
    folder = options.results / "benchmarks"
    targets = read_targets(options.targets)
    if options.keep is not None:
        keep_finished(options.keep, options.command, folder)
    runs = read_history(folder)
    if options.write_docs:
        write_document(runs, targets, options.results)
        print(f"written: {options.results / 'ops.md'}")
    if options.keep is not None:
        print(plain(TARGET_COLUMNS, [standing.cells for standing in judge(targets, runs)]))
    return 0 if options.keep is not None or options.write_docs else compare(runs)


def keep_finished(path: Path, command: str, folder: Path) -> None:
    commit, uncommitted = describe_commit()
    finished = read_finished(path, command=command, commit=commit, uncommitted=uncommitted)
    if not finished.runs:
        print("nothing was measured, nothing is kept")
    for run in finished.runs:
        if finished.sizes == KEPT_SIZES:
            print(f"kept as {keep(run, folder)}")
        else:
            print(
                f"measured at --sizes {finished.sizes}, not kept:\n{plain(*history_table([run]))}\n"
            )


def compare(runs: list[Run]) -> int:
    """Print each machine's history and what fell; 1 if anything did."""
    for group in by_machine(runs):
        print(f"{group[-1].machine.describe()}\n{plain(*history_table(group))}\n")
    fallen = falls(runs)
    for fall in fallen:
        print(f"fell: {fall}")
    if not runs:
        print("no run was kept yet: nox -s benchmark")
    elif not fallen:
        print("no ratio fell by more than 15 %")
    return int(bool(fallen))


def describe_commit() -> tuple[str, bool]:
    """The abbreviated commit, and whether what a figure depends on differs from it."""
    commit = ask_git("rev-parse", "--short=7", "HEAD").strip()
    return commit, bool(ask_git("status", "--porcelain", "--", *MEASURED).strip())


def ask_git(*words: str) -> str:
    done = subprocess.run(("git", *words), cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise HistoryError(f"git {words[0]} failed ({done.stderr.strip()}): run in a clone")
    return done.stdout


if __name__ == "__main__":
    sys.exit(main())
