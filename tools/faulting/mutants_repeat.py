"""Repeat one mutant in this process: python tools/faulting/mutants_repeat.py TARGET SEED INDEX."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from faulting.mutants import ORACLE, OWN
from faulting.mutants_target import generator

from tomolift.data import BadInput


def main() -> int:
    targets = {target.name: target for target in (*OWN, ORACLE)}
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition(":")[0])
    parser.add_argument("target", choices=sorted(targets))
    parser.add_argument("seed", type=int)
    parser.add_argument("index", type=int)
    options = parser.parse_args()
    target = targets[options.target]
    with tempfile.TemporaryDirectory() as folder:
        trial = target.prepare(Path(folder))
        mutant = trial.make(generator(target, options.seed, options.index))
        print(repr(mutant))
        try:
            print(trial.look(mutant) or "accepted")
        except BadInput as error:
            print(f"refused: {error}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
