"""Break builds and caches on purpose, count what is not survived, print a line an experiment.

python tools/faults.py                              every experiment, exit status 1 if one fails
python tools/faults.py --only flips --flips 100     one of them, fewer times
python tools/faults.py --json docs/results/faults.json --write-docs
                                                    keep what was found beside what was kept before,
                                                    write docs/results/reliability.md from it
"""

from __future__ import annotations

import argparse
import shlex
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from faulting.kept import keep
from faulting.registry import EXPERIMENTS
from faulting.reliability_document import write_document

RESULTS = Path(__file__).parent.parent / "docs" / "results"
COUNTS = {
    "kills": (500, "builds to kill"),
    "operations": (1_000_000, "operations of a writer to fail at, at most"),
    "cuts": (1_000_000, "power cuts of a writer, at most"),
    "rounds": (50, "times that 8 builders start at once"),
    "flips": (10_000, "bits to flip"),
    "megabytes": (1500, "what a gzip bomb unpacks to, in MB"),
    "payloads": (1000, "planted payloads in each slot, at most"),
    "mutants": (1_000_000, "malformed inputs for the parsers"),
    "library-mutants": (100_000, "malformed inputs to compare with nibabel"),
}


def main(arguments: Sequence[str] | None = None) -> int:
    given = sys.argv[1:] if arguments is None else list(arguments)
    options = parser().parse_args(given)
    chosen = [each for each in EXPERIMENTS if not options.only or each.name in options.only]
    command = shlex.join(["python", "tools/faults.py", *given])
    held = True
    for experiment in chosen:
        with tempfile.TemporaryDirectory(prefix="tomolift-faults-", dir=options.scratch) as name:
            folder = Path(name)
            count = getattr(options, experiment.count)
            outcome = experiment.run(count, seed=options.seed, scratch=folder)
            print(outcome.line(), flush=True)
            held &= not outcome.failures
            if options.json is not None:  # at once: a later one may be interrupted
                keep(outcome, options.json, command=command, seed=options.seed, scratch=folder)
    if options.write_docs:
        print(f"written: {write_document(options.json or RESULTS / 'faults.json')}")
    return 0 if held else 1


def parser() -> argparse.ArgumentParser:
    result = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    names = [experiment.name for experiment in EXPERIMENTS]
    result.add_argument("--only", nargs="+", choices=names, metavar="NAME", help=", ".join(names))
    for name, (count, meaning) in COUNTS.items():
        result.add_argument(f"--{name}", type=int, default=count, help=f"{meaning} ({count})")
    result.add_argument("--seed", type=int, default=0)
    result.add_argument(
        "--scratch", type=Path, help="where to work (the system's temporary folder)"
    )
    result.add_argument("--json", type=Path, metavar="OUT", help="keep the outcomes in this file")
    result.add_argument("--write-docs", action="store_true", help="write reliability.md beside it")
    return result


if __name__ == "__main__":
    sys.exit(main())
