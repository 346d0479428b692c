"""The command line: ``tomolift data ...``, or ``python -m tomolift.data ...``."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, NoReturn, TypeAlias

from ._build import build_cache
from ._cache import open_cache
from ._check import check_cache
from ._fetch_command import add_fetch
from ._garbage import collect_garbage
from ._report_lines import build_lines, defect_lines, garbage_lines, info_lines
from ._verify import Defect, verify_task
from .errors import BadInput, one_line

PROGRAM = "tomolift data"
EXIT_STATUS = (
    "exit status: 0 all is well; 1 verify or check found defects; 2 bad input or a failing disk, "
    "told in one line (build: a line for each quarantined volume, the rest is built); "
    "130 interrupted"
)
_Commands: TypeAlias = "argparse._SubParsersAction[Any]"  # not subscriptable at run time


def main(argv: Sequence[str] | None = None) -> int:
    """Run one subcommand and return its exit status.

    0: all is well. 1: ``verify`` or ``check`` found defects. 2: bad input or a failing disk; one
    line on standard error names the file and the cure (``build``: a line a quarantined volume, and
    the rest built). 130: interrupted from the keyboard. 141: nobody reads what is printed.

    Example:
        >>> main(["verify", "/nowhere"])
        2
    """
    try:
        options = _parser().parse_args(argv)
        status = int(options.run(options))
        sys.stdout.flush()
        return status
    except SystemExit as exit_:  # argparse: 0 after --help, 2 after a usage error
        return exit_.code if isinstance(exit_.code, int) else 2
    except KeyboardInterrupt:
        print(f"{PROGRAM}: interrupted; the same command goes on from here", file=sys.stderr)
        return 130
    except BrokenPipeError:  # `... | head`: what is still buffered must not fail at exit either
        os.dup2(os.open(os.devnull, os.O_RDONLY), sys.stdout.fileno())
        return 141  # 128 + SIGPIPE, as of every Unix tool
    except (BadInput, OSError, RuntimeError) as error:
        print(f"{PROGRAM}: error: {one_line(str(error))}", file=sys.stderr)
        return 2


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{PROGRAM}: error: {one_line(message)}; see {self.prog} --help\n")


def _parser() -> argparse.ArgumentParser:
    what = "MSD task folders as memory-mapped caches."
    parser = _Parser(prog=PROGRAM, description=what, epilog=EXIT_STATUS)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_verify(commands)
    _add_build(commands)
    _add_info(commands)
    _add_check(commands)
    _add_gc(commands)
    add_fetch(commands)
    _add_phantom(commands)
    return parser


def _add_verify(commands: _Commands) -> None:
    what = "Read every file of a task to its last byte and list every defect, by case, with a code."
    verify = commands.add_parser(
        "verify", help="list every defect of a task folder", description=what
    )
    _add_task_dir(verify)
    _add_json(verify)
    verify.set_defaults(run=_verify)


def _verify(options: argparse.Namespace) -> int:
    return _tell(verify_task(options.task_dir), as_json=options.json)


def _add_build(commands: _Commands) -> None:
    what = (
        "Build a cache, or bring it up to date: unchanged volumes are reused, a bad one is "
        "quarantined and the rest goes on. Interrupted at any moment, the same command goes on."
    )
    build = commands.add_parser(
        "build", help="build a cache, or bring it up to date", description=what
    )
    _add_task_dir(build)
    build.add_argument("cache_dir", type=Path, metavar="CACHE_DIR", help="made where absent")
    build.add_argument("--depth", type=int, default=70, help="slices of each volume (70)")
    build.add_argument(
        "--short",
        choices=("drop", "pad"),
        default="drop",
        help="volumes with fewer slices: leave them out, or pad with ignored slices (drop)",
    )
    build.add_argument(
        "--axes",
        choices=("canonical", "stored"),
        default="canonical",
        help="order of axes: nearest to RAS, or as in the file (canonical)",
    )
    build.add_argument("--workers", type=int, default=2, help="processes (2)")
    build.add_argument(
        "--cases", nargs="+", metavar="NAME", help="the cache holds these and no others"
    )
    build.add_argument(
        "--share",
        type=_share,
        metavar="I/N",
        help="ingest share I of N only, so that N machines can build one cache on shared storage; "
        "when they are done, the same command without --share finishes it",
    )
    build.set_defaults(run=_build)


def _share(text: str) -> tuple[int, int]:
    index, _, count = text.partition("/")
    if not (index.isdecimal() and count.isdecimal()):
        raise argparse.ArgumentTypeError(f"is {text!r}, expected I/N such as 1/4")
    return int(index), int(count)


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


def _progress(done: int, total: int, case: str, status: str) -> None:
    print(f"\r{done}/{total} {case} {status}\x1b[K", end="", file=sys.stderr, flush=True)
    if done == total:
        print(file=sys.stderr)


def _add_info(commands: _Commands) -> None:
    what = (
        "Tell shape, type and voxels of each class of every cached volume, and what was left out."
    )
    info = commands.add_parser("info", help="tell what a cache holds", description=what)
    _add_cache_dir(info)
    info.set_defaults(run=_info)


def _info(options: argparse.Namespace) -> int:
    print("\n".join(info_lines(open_cache(options.cache_dir))))
    return 0


def _add_check(commands: _Commands) -> None:
    what = "Read every byte of a cache and list what differs from its checksums. Only reads."
    check = commands.add_parser(
        "check", help="recompute every checksum of a cache", description=what
    )
    _add_cache_dir(check)
    check.add_argument(
        "--sources",
        type=Path,
        metavar="TASK_DIR",
        help="decode the files of this task folder again, too, and list every case that is not "
        "what the cache holds; takes the time of a build, and room in $TMPDIR for a volume",
    )
    check.add_argument("--workers", type=int, default=2, help="processes for --sources (2)")
    _add_json(check)
    check.set_defaults(run=_check)


def _check(options: argparse.Namespace) -> int:
    defects = check_cache(options.cache_dir, sources=options.sources, workers=options.workers)
    return _tell(defects, as_json=options.json)


def _add_gc(commands: _Commands) -> None:
    what = (
        "Remove temporary files of dead processes (of other machines: untouched for a day), "
        "volumes that nothing names, and lines of the journal without files. Files that are not "
        "a cache's stay; so does what an interrupted build has finished."
    )
    collect = commands.add_parser(
        "gc", help="remove what killed builds left in a cache", description=what
    )
    _add_cache_dir(collect)
    collect.add_argument("--dry-run", action="store_true", help="only list what would go")
    collect.set_defaults(run=_gc)


def _gc(options: argparse.Namespace) -> int:
    report = collect_garbage(options.cache_dir, dry_run=options.dry_run)
    print("\n".join(garbage_lines(report, options.cache_dir, dry_run=options.dry_run)))
    return 0


def _add_phantom(commands: _Commands) -> None:
    what = "Write a synthetic task of abdominal CT in real .nii.gz files, to try things on."
    phantom = commands.add_parser("phantom", help="write a synthetic task folder", description=what)
    phantom.add_argument("out_dir", type=Path, metavar="OUT_DIR", help="absent or empty")
    phantom.add_argument("--cases", type=int, default=16, help="volumes (16)")
    phantom.add_argument("--seed", type=int, default=0, help="of all that is random (0)")
    phantom.add_argument("--no-depth-cues", action="store_true", help="the control phantom")
    phantom.set_defaults(run=_phantom)


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


def _add_task_dir(command: argparse.ArgumentParser) -> None:
    what = "folder with dataset.json, imagesTr and labelsTr; only read"
    command.add_argument("task_dir", type=Path, metavar="TASK_DIR", help=what)


def _add_cache_dir(command: argparse.ArgumentParser) -> None:
    command.add_argument("cache_dir", type=Path, metavar="CACHE_DIR", help="what `build` made")


def _add_json(command: argparse.ArgumentParser) -> None:
    command.add_argument("--json", action="store_true", help="print the defects as JSON")


def _tell(defects: Sequence[Defect], *, as_json: bool) -> int:
    if as_json:
        print(json.dumps([asdict(defect) for defect in defects], indent=1))
    else:
        print("\n".join(defect_lines(defects)))
    return 1 if defects else 0
