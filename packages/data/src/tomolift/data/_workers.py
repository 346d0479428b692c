"""Ingest cases in this process or in several."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool

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
    context = multiprocessing.get_context("spawn")  # fork would copy threads' locks
    with ProcessPoolExecutor(
        min(workers, len(jobs)),
        mp_context=context,
        initializer=_prepare_worker,
    ) as pool:
        futures = {pool.submit(ingest_case, job): job for job in jobs}
        try:
            for future in as_completed(futures):
                yield futures[future], future.result()
        except BrokenProcessPool as error:
            raise RuntimeError(UNGUARDED) from error
        finally:
            pool.shutdown(cancel_futures=True)


def _prepare_worker() -> None:
    """Leave Ctrl-C, which reaches every process, to the build, and end when that is no more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_the_build, daemon=True).start()


def _end_with_the_build() -> None:
    """Wait for the build's end: a worker of one that was killed would wait for jobs for ever."""
    build = multiprocessing.parent_process()
    if build is not None:
        build.join()
        os._exit(1)  # as if it had been killed too: what it had not finished has a temporary name
