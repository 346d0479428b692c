"""Malformed input: mutants over our own parsers, and our reader against nibabel.

Mutant i of seed s of a target is a pure function of the three, so that a failure, which names
them, can be repeated: ``python tools/faulting/mutants_repeat.py TARGET SEED INDEX``.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from faulting.mutants_archives import ARCHIVE
from faulting.mutants_caches import JOURNAL, MANIFEST, NPY, RECORD
from faulting.mutants_campaign import Tally, run_target
from faulting.mutants_depth import refusals_reached
from faulting.mutants_images import HEADER, STREAM, VOLUME
from faulting.mutants_nibabel import ORACLE
from faulting.mutants_target import Target
from faulting.mutants_tasks import DATASET_JSON, TASK
from faulting.outcome import Figures, Outcome

OWN = (HEADER, STREAM, VOLUME, DATASET_JSON, TASK, MANIFEST, RECORD, JOURNAL, NPY, ARCHIVE)


def run(count: int, *, seed: int, scratch: Path) -> Outcome:
    """Show ``count`` mutants to this package's parsers, each in its share."""
    promise = "malformed input: BadInput or sane values, nothing else; no hang, memory bounded"
    return _outcome("mutants", promise, OWN, count, seed=seed, scratch=scratch)


def run_against_nibabel(count: int, *, seed: int, scratch: Path) -> Outcome:
    """Show ``count`` mutants to our reader, and what it accepts to nibabel."""
    promise = "what our NIfTI reader accepts, nibabel reads as the same volume"
    return _outcome("library-mutants", promise, (ORACLE,), count, seed=seed, scratch=scratch)


def _outcome(
    name: str, promise: str, targets: Sequence[Target], count: int, *, seed: int, scratch: Path
) -> Outcome:
    began = time.monotonic()
    whole, figures = Tally(), Figures()
    for target in targets:
        share = max(1, round(count * target.share))
        tally = run_target(target, share, seed=seed, scratch=scratch)
        figures[target.name] = _summary(tally)
        whole.add(tally)
    figures |= refusals_reached(whole.sites)
    figures["mutants per CPU second"] = round(whole.attempts / max(whole.seconds, 1e-3))
    figures["most memory above a prepared parser (MiB)"] = whole.peak_bytes >> 20
    return Outcome(name, promise, whole.attempts, whole.told(), figures, time.monotonic() - began)


def _summary(tally: Tally) -> str:
    """Return attempts and the share of every outcome, the commonest first."""
    shares = [
        f"{outcome} {100 * times / tally.attempts:.3g} %"
        for outcome, times in tally.outcomes.most_common()
    ]
    return f"{tally.attempts} ({', '.join(shares)})"
