"""Ingest cases in this process or in several."""

from __future__ import annotations

from collections.abc import Iterator

from ._ingest import ingest_case
from ._jobs import CaseJob, Ingested

UNGUARDED = (
    "a build worker died: guard the script with 'if __name__ == \"__main__\":', or use "
    "workers=1, or give it more memory; the build resumes where it stopped"
)


def refuse_in_starting_worker() -> None:
    """Stop a worker that has begun to run an unguarded script, which would build once more.

    It would wait for the lock that its own parent holds, and both for ever. The flag is the one
    by which multiprocessing itself refuses to start processes at this moment.

    Raises:
        RuntimeError: always in such a worker.
    """
    import multiprocessing  # here and below: 1.3 MB that a process that only reads does without

    if getattr(multiprocessing.current_process(), "_inheriting", False):
        raise RuntimeError(UNGUARDED)


def ingested(jobs: list[CaseJob], workers: int) -> Iterator[tuple[CaseJob, Ingested]]:
    """Yield each job with what became of it, as they finish.

    Raises:
        OSError: the cache's disk failed.
        RuntimeError: a worker died.
    """
    if workers == 1 or len(jobs) < 2:
        yield from ((job, ingest_case(job)) for job in jobs)
        return
    from concurrent.futures.process import BrokenProcessPool

    from ._worker_pool import ingested_by_pool

    try:
        yield from ingested_by_pool(jobs, min(workers, len(jobs)))
    except BrokenProcessPool as error:
        raise RuntimeError(UNGUARDED) from error
