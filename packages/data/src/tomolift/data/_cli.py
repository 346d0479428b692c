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
from ._cache import open_cache
from ._check import check_cache
from ._fetch_command import add_fetch
from ._garbage import collect_garbage
from ._report_lines import build_lines, defect_lines, garbage_lines, info_lines
from ._verify import Defect, verify_task
from .errors import BadInput, one_line

PROGRAM = "tomolift data"


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
    print("\n".join(build_lines(report)))
    for message in report.failed.values():
        print(f"{PROGRAM}: error: {one_line(message)}", file=sys.stderr)
    return 2 if report.failed else 0


def _info(options: argparse.Namespace) -> int:
    print("\n".join(info_lines(open_cache(options.cache_dir))))
    return 0


def _gc(options: argparse.Namespace) -> int:
    report = collect_garbage(options.cache_dir, dry_run=options.dry_run)
    print("\n".join(garbage_lines(report, options.cache_dir, dry_run=options.dry_run)))
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
        print("\n".join(defect_lines(defects)))
    return 1 if defects else 0


def _progress(done: int, total: int, case: str, status: str) -> None:
    print(f"\r{done}/{total} {case} {status}\x1b[K", end="", file=sys.stderr, flush=True)
    if done == total:
        print(file=sys.stderr)


def _share(text: str) -> tuple[int, int]:
    index, _, count = text.partition("/")
    if not (index.isdecimal() and count.isdecimal()):
        raise argparse.ArgumentTypeError(f"is {text!r}, expected I/N such as 1/4")
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

    collect = commands.add_parser("gc", help="remove what killed builds left in a cache")
    collect.add_argument("cache_dir", type=Path, metavar="CACHE_DIR")
    collect.add_argument("--dry-run", action="store_true", help="only list what would go")
    collect.set_defaults(run=_gc)

    add_fetch(commands)

    phantom = commands.add_parser("phantom", help="write a synthetic task folder")
    phantom.add_argument("out_dir", type=Path, metavar="OUT_DIR")
    phantom.add_argument("--cases", type=int, default=16, help="volumes (16)")
    phantom.add_argument("--seed", type=int, default=0)
    phantom.add_argument("--no-depth-cues", action="store_true", help="the control phantom")
    phantom.set_defaults(run=_phantom)
    return parser
