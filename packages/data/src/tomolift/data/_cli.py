"""The command line: ``tomolift data ...``, or ``python -m tomolift.data ...``."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import NoReturn

from ._build import build_cache
from ._cache import Cache, open_cache
from ._check import check_cache
from ._format import LABEL_DTYPE, npy_bytes
from ._report import BuildReport
from ._verify import Defect, verify_task
from .errors import BadInput, one_line

PROGRAM = "tomolift data"
SHARE_IS_DONE = "share done; when all are, the same command without --share finishes the cache"


def main(argv: Sequence[str] | None = None) -> int:
    """Run one subcommand and return its exit status.

    0: all is well. 1: ``verify`` or ``check`` found defects. 2: bad input; one line on standard
    error names the file and the cure (``build``: a line a quarantined volume, and the rest built).
    130: interrupted from the keyboard.

    Example:
        >>> main(["verify", "/nowhere"])
        2
    """
    try:
        options = _parser().parse_args(argv)
        return int(options.run(options))
    except SystemExit as exit_:  # argparse: 0 after --help, 2 after a usage error
        return exit_.code if isinstance(exit_.code, int) else 2
    except KeyboardInterrupt:
        print(f"{PROGRAM}: interrupted; the same command goes on from here", file=sys.stderr)
        return 130
    except (BadInput, OSError, RuntimeError) as error:
        print(f"{PROGRAM}: error: {one_line(str(error))}", file=sys.stderr)
        return 2


def _verify(options: argparse.Namespace) -> int:
    return _tell(verify_task(options.task_dir), as_json=options.json)


def _check(options: argparse.Namespace) -> int:
    defects = check_cache(options.cache_dir, sources=options.sources, workers=options.workers)
    return _tell(defects, as_json=options.json)


def _build(options: argparse.Namespace) -> int:
    report = build_cache(
        options.task_dir,
        options.cache_dir,
        depth=options.depth,
        short=options.short,
        workers=options.workers,
        cases=options.cases,
        axes=options.axes,
        share=options.share,
        progress=_progress if sys.stderr.isatty() else None,
    )
    print("\n".join(_report_lines(report)))
    for message in report.failed.values():
        print(f"{PROGRAM}: error: {one_line(message)}", file=sys.stderr)
    return 2 if report.failed else 0


def _info(options: argparse.Namespace) -> int:
    print("\n".join(_info_lines(open_cache(options.cache_dir))))
    return 0


def _phantom(options: argparse.Namespace) -> int:
    from ._phantom import write_phantom

    print(
        write_phantom(
            options.out_dir,
            cases=options.cases,
            seed=options.seed,
            depth_cues=not options.no_depth_cues,
        )
    )
    return 0


def _tell(defects: Sequence[Defect], *, as_json: bool) -> int:
    if as_json:
        print(json.dumps([asdict(defect) for defect in defects], indent=1))
    else:
        for defect in defects:
            print(f"{defect.case or '-'}: {defect.message}")
        print(f"{len(defects)} defects" if defects else "no defects")
    return 1 if defects else 0


def _report_lines(report: BuildReport) -> list[str]:
    lines = [f"changed  {case}: {change}" for case, change in report.changed.items()]
    lines += [f"note     {case}: {note}" for case, notes in report.notes.items() for note in notes]
    lines += [f"dropped  {case}: {depth} slices" for case, depth in report.dropped.items()]
    lines += [f"failed   {case}" for case in report.failed]
    counts = (
        f"{len(report.built)} built, {len(report.reused)} reused, "
        f"{len(report.dropped)} dropped, {len(report.failed)} failed"
    )
    end = f"fingerprint {report.fingerprint}" if report.fingerprint else SHARE_IS_DONE
    return [*lines, counts, end]


def _info_lines(cache: Cache) -> list[str]:
    settings = cache.configuration
    size = 0
    lines = []
    for case in cache.cases:
        info = cache[case]
        size += npy_bytes(info.shape, info.dtype) + npy_bytes(info.shape, LABEL_DTYPE)
        voxels = dict(zip(cache.label_names, info.label_counts.sum(axis=0).tolist(), strict=True))
        shape = " x ".join(map(str, info.shape))
        counts = ", ".join(f"{name} {count}" for name, count in voxels.items())
        lines.append(f"{case}: {shape} {info.dtype}: {counts}")
    lines += [f"dropped {case}: {depth} slices" for case, depth in cache.dropped.items()]
    lines += [f"failed {case}: {message}" for case, message in cache.failed.items()]
    summary = (
        f"{cache.task_name}: {len(cache)} cases of depth {cache.depth} ({settings.short}, "
        f"{settings.axes}), {len(cache.dropped)} dropped, {len(cache.failed)} failed, {size} bytes"
    )
    return [one_line(line) for line in (*lines, summary, f"fingerprint {cache.fingerprint}")]


def _progress(done: int, total: int, case: str, status: str) -> None:
    print(f"\r{done}/{total} {case} {status}\x1b[K", end="", file=sys.stderr, flush=True)
    if done == total:
        print(file=sys.stderr)


def _share(text: str) -> tuple[int, int]:
    index, _, count = text.partition("/")
    return int(index), int(count)


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{PROGRAM}: error: {one_line(message)}; see {self.prog} --help\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog=PROGRAM, description="MSD task folders as memory-mapped caches.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    verify = commands.add_parser("verify", help="list every defect of a task folder")
    verify.add_argument("task_dir", type=Path, metavar="TASK_DIR")
    verify.add_argument("--json", action="store_true", help="print the defects as JSON")
    verify.set_defaults(run=_verify)

    build = commands.add_parser("build", help="build a cache, or bring it up to date")
    build.add_argument("task_dir", type=Path, metavar="TASK_DIR")
    build.add_argument("cache_dir", type=Path, metavar="CACHE_DIR")
    build.add_argument("--depth", type=int, default=70, help="slices of each volume (70)")
    build.add_argument("--short", choices=("drop", "pad"), default="drop")
    build.add_argument("--axes", choices=("canonical", "stored"), default="canonical")
    build.add_argument("--workers", type=int, default=2, help="processes (2)")
    build.add_argument("--cases", nargs="+", metavar="NAME", help="only these cases")
    build.add_argument(
        "--share",
        type=_share,
        metavar="I/N",
        help="ingest share I of N, for N machines at once; a build without it then finishes",
    )
    build.set_defaults(run=_build)

    info = commands.add_parser("info", help="tell what a cache holds")
    info.add_argument("cache_dir", type=Path, metavar="CACHE_DIR")
    info.set_defaults(run=_info)

    check = commands.add_parser("check", help="recompute every checksum of a cache")
    check.add_argument("cache_dir", type=Path, metavar="CACHE_DIR")
    check.add_argument(
        "--sources", type=Path, metavar="TASK_DIR", help="decode its files again and compare"
    )
    check.add_argument("--workers", type=int, default=2, help="processes for --sources (2)")
    check.add_argument("--json", action="store_true", help="print the defects as JSON")
    check.set_defaults(run=_check)

    phantom = commands.add_parser("phantom", help="write a synthetic task folder")
    phantom.add_argument("out_dir", type=Path, metavar="OUT_DIR")
    phantom.add_argument("--cases", type=int, default=16, help="volumes (16)")
    phantom.add_argument("--seed", type=int, default=0)
    phantom.add_argument("--no-depth-cues", action="store_true", help="the control phantom")
    phantom.set_defaults(run=_phantom)
    return parser
