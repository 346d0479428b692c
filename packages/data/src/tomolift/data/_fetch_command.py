"""``tomolift data fetch``: its options, what it prints, and its progress on a terminal."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ._fetch import FetchReport, fetch_task
from ._msd_tasks import MSD_ARCHIVES

_SECONDS_BETWEEN_LINES = 0.2


def add_fetch(commands: argparse._SubParsersAction[Any]) -> None:
    """Add the subcommand to the parser of ``tomolift data``."""
    fetch = commands.add_parser("fetch", help="download and unpack a task, checked")
    fetch.add_argument("name", metavar="NAME", help="such as Task07_Pancreas; see --list")
    fetch.add_argument("out_dir", type=Path, metavar="OUT_DIR", help="NAME is made in it")
    fetch.add_argument("--list", action=_List, nargs=0, help="print the ten MSD tasks and exit")
    fetch.add_argument("--sha256", metavar="HEX", help="accept no other archive than this one")
    fetch.add_argument(
        "--url", metavar="HTTPS", help="another archive (tar, tar.gz, zip); needs --sha256"
    )
    fetch.add_argument("--keep-archive", action="store_true", help="leave the archive in OUT_DIR")
    fetch.set_defaults(run=_fetch)


def _fetch(options: argparse.Namespace) -> int:
    with _Meter() as meter:
        report = fetch_task(
            options.name,
            options.out_dir,
            url=options.url,
            sha256=options.sha256,
            keep_archive=options.keep_archive,
            progress=meter if sys.stderr.isatty() else None,
        )
    print("\n".join(_lines(report)))
    return 0


def _lines(report: FetchReport) -> list[str]:
    if report.digests is None:
        return [f"{report.folder} is there: {report.cases} cases, every listed file exists"]
    lines = [f"{report.folder}: {report.cases} cases", f"archive's sha256 {report.digests.sha256}"]
    if report.left_out:
        lines.append(f"{report.left_out} desktop leftovers (._*, .DS_Store) not unpacked")
    if report.archive:
        lines.append(f"kept {report.archive}")
    return lines


class _List(argparse.Action):
    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: str | Sequence[object] | None,
        option_string: str | None = None,
    ) -> None:
        for name, archive in MSD_ARCHIVES.items():
            print(f"{name:20} md5 {archive.md5} {archive.url}")
        parser.exit()


class _Meter:
    """One line on a terminal that is written over: bytes, speed and time left of a stage."""

    def __init__(self) -> None:
        self._stage = ""
        self._began = self._told = 0.0
        self._first = 0

    def __enter__(self) -> _Meter:
        return self

    def __exit__(self, *error: object) -> None:
        if self._stage:
            print(file=sys.stderr)

    def __call__(self, stage: str, done: int, total: int) -> None:
        now = time.monotonic()
        if stage != self._stage:
            if self._stage:
                print(file=sys.stderr)
            self._stage, self._began, self._first, self._told = stage, now, done, 0.0
        if now - self._told < _SECONDS_BETWEEN_LINES and done < total:
            return
        self._told = now
        line = progress_line(stage, done, total, done - self._first, now - self._began)
        print(f"\r{line}\x1b[K", end="", file=sys.stderr, flush=True)


def progress_line(stage: str, done: int, total: int, moved: int, seconds: float) -> str:
    """Return a line on a stage of which ``moved`` bytes took ``seconds``.

    Example:
        >>> progress_line("downloading", 6_000_000_000, 12_000_000_000, 1_000_000_000, 20.0)
        'downloading 6000.0 of 12000.0 MB, 50.0 MB/s, 2:00 left'
    """
    line = f"{stage} {done / 1e6:.1f} of {total / 1e6:.1f} MB"
    if moved <= 0 or seconds <= 0:
        return line
    speed = moved / seconds
    left = round((total - done) / speed)
    return f"{line}, {speed / 1e6:.1f} MB/s, {left // 60}:{left % 60:02d} left"
