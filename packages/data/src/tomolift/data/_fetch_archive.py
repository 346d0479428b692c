"""The archive of a task: which one, its download and its digests, and what goes when it is done."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from ._announcement import bare, beside
from ._digests import Digests, file_digests
from ._files import PartFile, remove
from ._msd import is_case_name
from ._msd_tasks import MSD_ARCHIVES
from .errors import BadInput

if TYPE_CHECKING:
    from ._download import Patience

Progress = Callable[[str, int, int], None]
_SUFFIXES = (".tar.gz", ".tgz", ".tar", ".zip")


@dataclass(frozen=True)
class Source:
    """Where an archive comes from, its name in the folder, and the digests it must have."""

    url: str
    file_name: str
    md5: str | None
    sha256: str | None


def archive_source(name: str, url: str | None, sha256: str | None) -> Source:
    """Return the published archive of a task, or the one at ``url``.

    Raises:
        BadInput: E_ARGUMENT.
    """
    if sha256 is not None and not re.fullmatch(r"[0-9a-fA-F]{64}", sha256):
        problem = f"is {sha256[:80]!r}, expected 64 hex digits"
        raise BadInput("E_ARGUMENT", "sha256", problem, "give the archive's SHA-256")
    digest = sha256.lower() if sha256 else None
    if url is None:
        if name not in MSD_ARCHIVES:
            problem = f"is {name[:80]!r}, expected one of {', '.join(MSD_ARCHIVES)}"
            raise BadInput("E_ARGUMENT", "name", problem, "name one of them, or give a url")
        published = MSD_ARCHIVES[name]
        return Source(published.url, f"{name}.tar", published.md5, digest)
    if not is_case_name(name):
        problem = f"is {name[:80]!r}, expected letters, digits, . _ + -"
        raise BadInput("E_ARGUMENT", "name", problem, "choose a plain name for the folder")
    if digest is None:
        problem = "is missing, and nothing is published to check this archive by"
        raise BadInput("E_ARGUMENT", "sha256", problem, "give the archive's SHA-256")
    suffix = next((suffix for suffix in _SUFFIXES if bare(url).endswith(suffix)), ".archive")
    return Source(url, f"{name}{suffix}", None, digest)


def obtain(
    archive: Path, source: Source, patience: Patience | None, progress: Progress | None
) -> Digests:
    """Download ``archive`` where it is not there, and return its digests, which are as expected.

    Raises:
        BadInput: E_ARGUMENT, E_DOWNLOAD, E_CHECKSUM, E_SPACE.
    """
    if archive.exists():
        return _checked(archive, source, progress)
    return _downloaded(archive, source, patience, progress)


def _downloaded(
    archive: Path, source: Source, patience: Patience | None, progress: Progress | None
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


def _checked(archive: Path, source: Source, progress: Progress | None) -> Digests:
    digests = _digests(archive, progress)
    if wrong := _difference(digests, source):
        cure = "remove it, so that it is downloaded again"
        raise BadInput("E_CHECKSUM", archive, wrong, cure)
    return digests


def _digests(path: Path, progress: Progress | None) -> Digests:
    return file_digests(path, partial(progress, "checking") if progress else None)


def _difference(digests: Digests, source: Source) -> str:
    if source.sha256 and digests.sha256 != source.sha256:
        return f"has SHA-256 {digests.sha256}, expected {source.sha256}"
    if source.md5 and digests.md5 != source.md5:
        return f"has MD5 {digests.md5}, expected {source.md5}"
    return ""


def tidy(archive: Path, *, keep_archive: bool) -> None:
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
