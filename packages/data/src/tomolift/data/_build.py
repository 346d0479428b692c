"""Build a cache from a task folder: many processes, resumable, one bad volume never kills it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from . import _files
from ._depth import Short
from ._disk import disk_failures_told
from ._finish import finish
from ._format import JOURNAL, MANIFEST, Configuration, signed
from ._geometry import Axes
from ._journal import Entry, append_entry, mend_journal
from ._msd import Case, Task, read_task
from ._plan import Plan, basis_of, plan_build
from ._report import BuildReport, report_of
from ._share import Share, belongs_to_share
from ._workers import ingested, refuse_in_starting_worker
from .errors import BadInput

Progress = Callable[[int, int, str, str], None]


def build_cache(
    task_dir: str | Path,
    cache_dir: str | Path,
    *,
    depth: int = 70,
    short: Short = "drop",
    workers: int = 2,
    cases: Sequence[str] | None = None,
    axes: Axes = "canonical",
    share: tuple[int, int] | None = None,
    progress: Progress | None = None,
) -> BuildReport:
    """Turn a task in MSD layout into a memory-mapped cache, or bring a cache up to date.

    Volumes whose sources and configuration are unchanged are reused. A build that was
    interrupted at any moment, even by ``kill -9``, ends in the same bytes when run again.

    Many machines build one cache on shared storage by shares: ``share=(1, n)`` to ``(n, n)`` at
    once, in any order, each with the same other options; then one build without ``share``, which
    reuses what they made, does what is missing and finishes the cache: the bytes are those of a
    single build. It waits for shares that are at work.

    Args:
        task_dir: folder with ``dataset.json``, ``imagesTr``, ``labelsTr``; only read.
        cache_dir: the cache; made where absent.
        depth: slices of every cached volume, 1..4096 (70 in the paper, Data).
        short: ``drop`` volumes with fewer slices, or ``pad`` them with ignored ones.
        workers: processes; 1 works in this process. More than one start by ``spawn``: a script
            needs ``if __name__ == "__main__":`` around its call.
        cases: names to include; all of ``dataset.json`` by default. The cache then holds these
            and no others.
        axes: ``canonical`` (nearest RAS; D inferior to superior) or ``stored``.
        share: (i, n), i from 1: ingest the i-th of n shares of ``cases`` and finish no cache.
        progress: called as ``progress(done, total, case, status)`` after each case.

    Returns:
        What was built, reused, dropped and quarantined.

    Raises:
        BadInput: nothing can be built (E_DATASET_JSON, E_DUPLICATE, E_ARGUMENT, E_EMPTY), or
            ``cache_dir`` is some other folder (E_CACHE).
        DiskFailure: ``cache_dir`` cannot be written (full, read-only, broken). Nothing is left
            half-written; the same call goes on from there.

    Example:
        >>> report = build_cache("Task07_Pancreas", "cache")  # doctest: +SKIP
    """
    refuse_in_starting_worker()
    configuration = Configuration(depth=depth, short=short, axes=axes)
    if workers < 1:
        raise BadInput("E_ARGUMENT", "workers", f"is {workers}, expected at least 1", "use 2")
    part = None if share is None else Share(*share)
    task = read_task(task_dir)
    selected = _select(task, cases)
    cache = Path(cache_dir)
    with disk_failures_told(cache):
        _check_folder(cache)
        work = _Work(task, selected, configuration, cache, workers, progress)
        return _whole(work) if part is None else _share(work, part)


@dataclass(frozen=True)
class _Work:
    """What to bring into which folder, and how."""

    task: Task
    selected: tuple[Case, ...]
    configuration: Configuration
    cache: Path
    workers: int
    progress: Progress | None


def _whole(work: _Work) -> BuildReport:
    with _files.locked(work.cache / "lock"):
        plan, entries = _ingest(work, work.cache / JOURNAL)
        fingerprint = finish(work.task, work.configuration, entries, work.cache)
        _sweep(work.cache)  # workers of a killed build may have lived on when this one began
    return report_of(plan, entries, fingerprint)


def _share(work: _Work, share: Share) -> BuildReport:
    """Ingest a share beside others: builds of the whole cache wait, and so do equal shares."""
    own = replace(work, selected=share.of(work.selected))
    with (
        _files.locked(work.cache / "lock", shared=True),
        _files.locked(work.cache / share.lock),
    ):
        return report_of(*_ingest(own, work.cache / share.journal), None)


def _select(task: Task, cases: Sequence[str] | None) -> tuple[Case, ...]:
    if cases is None:
        return task.cases
    unknown = sorted(set(cases) - {case.name for case in task.cases})
    if unknown or not cases:
        problem = f"{unknown[0]!r} is no case of {task.folder}" if unknown else "names no case"
        raise BadInput("E_ARGUMENT", "cases", problem, "use names from dataset.json")
    return tuple(case for case in task.cases if case.name in set(cases))


def _check_folder(cache: Path) -> None:
    if cache.exists() and not cache.is_dir():
        raise BadInput("E_CACHE", cache, "is a file", "name a folder for the cache")
    names: set[str] = set()
    with suppress(FileNotFoundError):  # absent, or another build that came to nothing took it away
        names = {path.name for path in cache.iterdir()}
    if not all(is_ours(name) for name in names):
        problem = "is neither empty nor a cache"
        raise BadInput("E_CACHE", cache, problem, "name an empty or a new folder")


def is_ours(name: str) -> bool:
    """Return whether a cache folder may hold this name: some or all, in a killed build's folder."""
    ours = {MANIFEST, JOURNAL, "lock", "volumes", "tmp"}
    return name in ours or belongs_to_share(name) or _files.is_temporary(name)


def _ingest(work: _Work, journal: Path) -> tuple[Plan, dict[str, Entry]]:
    """Return an entry of each selected case, in their order, and what was done for it."""
    cache = work.cache
    _files.make_folder(cache / "volumes")
    _files.make_folder(cache / "tmp")
    _sweep(cache)
    mend_journal(journal)
    plan = plan_build(work.task, work.selected, work.configuration, cache)
    entries = _carry_out(plan, journal, work.workers, work.progress)
    return plan, {case.name: entries[case.name] for case in work.selected}


def _sweep(cache: Path) -> None:
    for folder in (cache, cache / "volumes", cache / "tmp"):
        _files.remove_stale(folder)


def _carry_out(
    plan: Plan, journal: Path, workers: int, progress: Progress | None
) -> dict[str, Entry]:
    entries = dict(plan.reused)
    total = len(plan.reused) + len(plan.jobs)
    for job, result in ingested(list(plan.jobs.values()), workers):
        entry = signed({**basis_of(job), "status": result.status, **result.fields})
        append_entry(journal, entry)
        entries[job.case.name] = entry
        if progress is not None:
            progress(len(entries), total, job.case.name, result.status)
    return entries
