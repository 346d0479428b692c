"""Fetch a task of the Medical Segmentation Decathlon: download, check, unpack."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from ._archive import unpack
from ._digests import Digests
from ._disk import disk_failures_told
from ._fetch_archive import Progress, archive_source, obtain, tidy
from ._files import make_folder, remove_stale_folders
from ._msd import read_task, source_path
from .errors import BadInput

if TYPE_CHECKING:
    from ._download import Patience


@dataclass(frozen=True, kw_only=True)
class FetchReport:
    """What a fetch did.

    Attributes:
        folder: the task folder.
        cases: how many labelled volumes its ``dataset.json`` lists; their files are there.
        digests: of the archive; None where the folder was there before and nothing was done.
        archive: the archive, where it was kept or had been there before.
        left_out: desktop leftovers (``._*``, ``.DS_Store``) of the archive, not unpacked.
    """

    folder: Path
    cases: int
    digests: Digests | None = None
    archive: Path | None = None
    left_out: int = 0


def fetch_task(
    name: str,
    out_dir: str | Path,
    *,
    url: str | None = None,
    sha256: str | None = None,
    keep_archive: bool = False,
    progress: Progress | None = None,
    patience: Patience | None = None,
) -> FetchReport:
    """Make the task folder ``out_dir / name``, which appears whole or not at all.

    A fetch that is killed goes on from where it was when called again. An archive that stands in
    ``out_dir`` under its published name is used instead of a download, and stays. A folder that is
    there is looked at (``dataset.json`` and whether every file it lists exists) and left alone.

    The archives' publisher gives MD5 digests, which find a damaged download but no forgery made on
    purpose. Whoever knows the SHA-256 of the archive, for instance from an earlier fetch, passes
    it: then nothing else is accepted. Either way the contents are hostile input to this package.

    Args:
        name: of the task, such as Task07_Pancreas; with ``url`` any name for the folder.
        out_dir: where the archive and the folder go; made where absent.
        url: https address of another archive (tar, tar.gz, zip) in MSD layout; needs ``sha256``.
        sha256: hex digest that the archive must have.
        keep_archive: leave the archive that was loaded in ``out_dir``.
        progress: called with "downloading", "checking" or "unpacking", bytes done, bytes in all.
        patience: time-outs and attempts.

    Raises:
        BadInput: E_ARGUMENT, E_DOWNLOAD, E_CHECKSUM, E_ARCHIVE, E_SPACE, E_DATASET_JSON,
            E_MISSING and others for a folder that is no task.
        DiskFailure: the disk fails or is full.

    Example:
        >>> fetch_task("Task07_Pancreas", "data").cases  # doctest: +SKIP
        281
    """
    source = archive_source(name, url, sha256)
    folder, archive = Path(out_dir) / name, Path(out_dir) / source.file_name
    with disk_failures_told(Path(out_dir)):
        if folder.is_dir() and any(folder.iterdir()):
            report = FetchReport(folder=folder, cases=_cases_there(folder))
            remove_stale_folders(Path(out_dir), name)
            tidy(archive, keep_archive=keep_archive)
            return report
        if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
            raise BadInput("E_ARGUMENT", folder, "is no folder", "remove or rename it")
        make_folder(Path(out_dir))
        remove_stale_folders(Path(out_dir), name)
        digests = obtain(archive, source, patience, progress)
        step = partial(progress, "unpacking") if progress else None
        accept = partial(_accept, archive)
        unpacked = unpack(archive, folder, accept=accept, progress=step)
        tidy(archive, keep_archive=keep_archive)
    return FetchReport(
        folder=folder,
        cases=len(read_task(folder).cases),
        digests=digests,
        archive=archive if archive.exists() else None,
        left_out=unpacked.left_out,
    )


def _cases_there(folder: Path) -> int:
    try:
        return _listed_files_exist(folder)
    except BadInput as error:
        cure = f"remove or rename {folder} and fetch again"
        raise BadInput(error.code, error.where, error.problem, cure) from error


def _accept(archive: Path, folder: Path) -> None:
    try:
        _listed_files_exist(folder)
    except BadInput as error:
        at = error.where.removeprefix(f"{folder}/")
        problem = f"holds no usable task: {at} {error.problem}"
        raise BadInput(error.code, archive, problem, "fetch another archive") from error


def _listed_files_exist(folder: Path) -> int:
    """Return how many cases a task has; no volume is opened."""
    task = read_task(folder)
    for case in task.cases:
        source_path(task, case.image)
        source_path(task, case.label)
    return len(task.cases)
