"""Unpack an archive from a stranger: tar, tar.gz or zip, regular files of a task folder only."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from ._archive_limits import ArchiveLimits, refused
from ._archive_members import Member, Plan, plan_files
from ._archive_stream import ByteStream, reading
from ._archive_tar import tar_members
from ._archive_zip import zip_members
from ._disk import disk_failures_told
from ._files import FolderWriter, make_folder, whole_folder
from ._room import check_room
from .errors import BadInput

_LIMITS = ArchiveLimits()


@dataclass(frozen=True)
class Unpacked:
    """What came out of an archive.

    ``left_out`` counts what a desktop had left in it (``._*``, ``.DS_Store``, ``__MACOSX``).
    """

    folder: Path
    files: int
    total_bytes: int
    left_out: int


def unpack(
    archive: Path,
    folder: Path,
    *,
    limits: ArchiveLimits = _LIMITS,
    accept: Callable[[Path], object] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Unpacked:
    """Unpack ``archive`` into the new ``folder``, which appears whole or not at all.

    All headers are read and checked first: limits, names, kinds, duplicates, room on the disk.
    Then files are written, each created anew relative to its folder's descriptor, with mode 0644
    less the umask and no owner or time of the archive's. A single folder at the top of the archive
    is the one that becomes ``folder``.

    Args:
        archive: its kind is told by its first bytes, not by its name.
        folder: absent or empty.
        limits: what the archive may ask for.
        accept: called with the complete folder under its temporary name; raises to refuse it.
        progress: called with bytes written and bytes in all.

    Raises:
        BadInput: E_ARCHIVE, E_SPACE, E_MISSING, E_IO or E_ARGUMENT; then nothing is left behind.
        DiskFailure: the disk of ``folder`` fails or is full; nothing is left behind either.
    """
    if folder.is_symlink() or (folder.exists() and (not folder.is_dir() or any(folder.iterdir()))):
        raise BadInput("E_ARGUMENT", folder, "is not an empty folder", "name a new one")
    with _opened(archive) as file:
        packed_bytes = os.fstat(file.fileno()).st_size
        members = _members(file, packed_bytes, limits, archive)
        plan = plan_files(members, packed_bytes=packed_bytes, limits=limits, archive=archive)
        with disk_failures_told(folder.parent):
            make_folder(folder.parent)
            check_room(folder.parent, plan.total_bytes)
            with whole_folder(folder) as new:
                _write(plan, new, progress)
                if accept:
                    accept(new)
    return Unpacked(folder, len(plan.files), plan.total_bytes, plan.left_out)


def _members(file: BinaryIO, size: int, limits: ArchiveLimits, archive: Path) -> Iterable[Member]:
    with reading(archive):
        head = file.read(512)
        file.seek(0)
    if head[:4] in (b"PK\3\4", b"PK\5\6"):
        return zip_members(file, size, limits, archive)
    compressed = head[:2] == b"\x1f\x8b"
    if not compressed and head[257:262] != b"ustar":
        raise refused(archive, "is no tar, tar.gz or zip file")
    limit = limits.unpacked_bytes(size)
    stream = ByteStream(file, archive, compressed=compressed, limit=limit)
    return tar_members(stream, limits, archive)


def _write(plan: Plan, folder: Path, progress: Callable[[int, int], None] | None) -> None:
    done = 0
    with FolderWriter(folder) as writer:
        for file in plan.files:
            writer.write(file.parts, file.size, file.chunks())
            done += file.size
            if progress:
                progress(done, plan.total_bytes)


@contextmanager
def _opened(archive: Path) -> Iterator[BinaryIO]:
    try:
        # O_NONBLOCK: opening a fifo must not wait for its writer
        descriptor = os.open(archive, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        problem = f"cannot be opened ({error.strerror})"
        raise BadInput("E_MISSING", archive, problem, "name an archive") from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise BadInput("E_MISSING", archive, "is no regular file", "name an archive")
    with os.fdopen(descriptor, "rb") as file:
        yield file
