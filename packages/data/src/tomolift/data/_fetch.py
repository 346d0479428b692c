"""Fetch a task of the Medical Segmentation Decathlon: download, check, unpack."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from ._announcement import bare, beside
from ._archive import unpack
from ._digests import Digests, file_digests
from ._disk import disk_failures_told
from ._files import PartFile, make_folder, remove, remove_stale_folders
from ._msd import is_case_name, read_task, source_path
from ._msd_tasks import MSD_ARCHIVES
from .errors import BadInput

if TYPE_CHECKING:
    from ._download import Patience

Progress = Callable[[str, int, int], None]
_SUFFIXES = (".tar.gz", ".tgz", ".tar", ".zip")


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


@dataclass(frozen=True)
class _Source:
    url: str
    file_name: str
    md5: str | None
    sha256: str | None


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
    source = _source(name, url, sha256)
    folder, archive = Path(out_dir) / name, Path(out_dir) / source.file_name
    with disk_failures_told(Path(out_dir)):
        if folder.is_dir() and any(folder.iterdir()):
            report = FetchReport(folder=folder, cases=_cases_there(folder))
            remove_stale_folders(Path(out_dir), name)
            _tidy(archive, keep_archive=keep_archive)
            return report
        if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
            raise BadInput("E_ARGUMENT", folder, "is no folder", "remove or rename it")
        make_folder(Path(out_dir))
        remove_stale_folders(Path(out_dir), name)
        if archive.exists():
            digests = _checked(archive, source, progress)
        else:
            digests = _downloaded(archive, source, patience, progress)
        step = partial(progress, "unpacking") if progress else None
        accept = partial(_accept, archive)
        unpacked = unpack(archive, folder, accept=accept, progress=step)
        _tidy(archive, keep_archive=keep_archive)
    return FetchReport(
        folder=folder,
        cases=len(read_task(folder).cases),
        digests=digests,
        archive=archive if archive.exists() else None,
        left_out=unpacked.left_out,
    )


def _source(name: str, url: str | None, sha256: str | None) -> _Source:
    if sha256 is not None and not re.fullmatch(r"[0-9a-fA-F]{64}", sha256):
        problem = f"is {sha256[:80]!r}, expected 64 hex digits"
        raise BadInput("E_ARGUMENT", "sha256", problem, "give the archive's SHA-256")
    digest = sha256.lower() if sha256 else None
    if url is None:
        if name not in MSD_ARCHIVES:
            problem = f"is {name[:80]!r}, expected one of {', '.join(MSD_ARCHIVES)}"
            raise BadInput("E_ARGUMENT", "name", problem, "name one of them, or give a url")
        published = MSD_ARCHIVES[name]
        return _Source(published.url, f"{name}.tar", published.md5, digest)
    if not is_case_name(name):
        problem = f"is {name[:80]!r}, expected letters, digits, . _ + -"
        raise BadInput("E_ARGUMENT", "name", problem, "choose a plain name for the folder")
    if digest is None:
        problem = "is missing, and nothing is published to check this archive by"
        raise BadInput("E_ARGUMENT", "sha256", problem, "give the archive's SHA-256")
    suffix = next((suffix for suffix in _SUFFIXES if bare(url).endswith(suffix)), ".archive")
    return _Source(url, f"{name}{suffix}", None, digest)


def _downloaded(
    archive: Path, source: _Source, patience: Patience | None, progress: Progress | None
) -> Digests:
    """Download to a part beside ``archive``, check it, and give it its name."""
    try:
        from ._download import Patience, download
        from ._https import check_url
    except ModuleNotFoundError as error:
        if error.name != "requests":
            raise
        cure = f'pip install "tomolift-data[fetch]", or put {archive.name} there by other means'
        raise BadInput("E_ARGUMENT", "requests", "is not installed", cure) from error
    check_url(source.url, code="E_ARGUMENT", where="url")
    try:
        part = PartFile(_part_of(archive))
    except BlockingIOError as error:
        problem = "is being written by another process"
        raise BadInput("E_DOWNLOAD", _part_of(archive), problem, "wait for it") from error
    with part:
        if archive.exists():  # another process was quicker
            remove(part.path)
            return _checked(archive, source, progress)
        step = partial(progress, "downloading") if progress else None
        download(source.url, part, patience=patience or Patience(), progress=step)
        digests = _digests(part.path, progress)
        if wrong := _difference(digests, source):
            _forget(part)
            cure = "it was removed: fetch again; if it stays so, the archive has been changed"
            raise BadInput("E_CHECKSUM", archive.name, wrong, cure)
        part.publish(archive)
    return digests


def _checked(archive: Path, source: _Source, progress: Progress | None) -> Digests:
    digests = _digests(archive, progress)
    if wrong := _difference(digests, source):
        cure = "remove it, so that it is downloaded again"
        raise BadInput("E_CHECKSUM", archive, wrong, cure)
    return digests


def _digests(path: Path, progress: Progress | None) -> Digests:
    return file_digests(path, partial(progress, "checking") if progress else None)


def _difference(digests: Digests, source: _Source) -> str:
    if source.sha256 and digests.sha256 != source.sha256:
        return f"has SHA-256 {digests.sha256}, expected {source.sha256}"
    if source.md5 and digests.md5 != source.md5:
        return f"has MD5 {digests.md5}, expected {source.md5}"
    return ""


def _tidy(archive: Path, *, keep_archive: bool) -> None:
    """Remove what a fetch needed, this one or one that was stopped at its very end.

    An archive that was loaded here has the announcement of its part beside it, and no part. Any
    other was put there by the user, or kept for him, and stays.
    """
    part = _part_of(archive)
    if part.exists():
        with suppress(BlockingIOError), PartFile(part) as mine:  # else it is another's to tidy up
            _forget(mine)
    elif beside(part).exists():
        if not keep_archive:
            remove(archive)
        remove(beside(part))


def _forget(part: PartFile) -> None:
    """Remove a part; its announcement goes first, which alone would tell of a loaded archive."""
    remove(beside(part.path))
    remove(part.path)


def _part_of(archive: Path) -> Path:
    return archive.with_name(f"{archive.name}.part")


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
