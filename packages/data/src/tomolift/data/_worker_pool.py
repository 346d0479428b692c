"""Ingest cases in processes that end with the build that started them."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from itertools import islice

from ._ingest import ingest_case
from ._jobs import CaseJob, Ingested


def ingested_by_pool(jobs: list[CaseJob], workers: int) -> Iterator[tuple[CaseJob, Ingested]]:
    """Yield each job with what became of it, as they finish.

    A job begins once the caller is back from noting another: no more than ``workers`` are begun
    and not noted, and no more are lost to a kill, however slow the disk of the notes is.

    Raises:
        OSError: the cache's disk failed.
        BrokenProcessPool: a worker died.
    """
    context = multiprocessing.get_context("spawn")  # fork would copy threads' locks
    with ProcessPoolExecutor(workers, mp_context=context, initializer=_prepare_worker) as pool:
        waiting = iter(jobs)
        begun = {pool.submit(ingest_case, job): job for job in islice(waiting, workers)}
        try:
            while begun:
                for future in wait(begun, return_when=FIRST_COMPLETED).done:
                    yield begun.pop(future), future.result()
                    begun |= {pool.submit(ingest_case, job): job for job in islice(waiting, 1)}
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
