"""From what an archive lists to the files that are written: everything is refused here, first."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from ._archive_limits import ArchiveLimits, refused
from ._archive_names import is_residue, is_wanted, name_parts


@dataclass(frozen=True)
class Member:
    """One entry as its archive declares it; ``chunks()`` yields exactly ``size`` bytes."""

    name: bytes
    is_folder: bool
    size: int
    chunks: Callable[[], Iterator[bytes]]


@dataclass(frozen=True)
class PlannedFile:
    """One file to write at ``parts`` below the new folder."""

    parts: tuple[str, ...]
    size: int
    chunks: Callable[[], Iterator[bytes]]


@dataclass(frozen=True)
class Plan:
    """What an accepted archive becomes, and how many desktop leftovers are left out."""

    files: tuple[PlannedFile, ...]
    left_out: int

    @property
    def total_bytes(self) -> int:
        """The size of all files together."""
        return sum(file.size for file in self.files)


def plan_files(
    members: Iterable[Member], *, packed_bytes: int, limits: ArchiveLimits, archive: Path
) -> Plan:
    """Check every entry against the limits and against the others.

    Where all files lie in one folder at the top, that folder is the one to be made and goes from
    their paths. Folders without a file are not made.

    Raises:
        BadInput: E_ARCHIVE, or what ``members`` raises.
    """
    files: list[PlannedFile] = []
    places = _Places(archive)
    total = left_out = 0
    for index, member in enumerate(members):
        if index >= limits.entries:
            raise refused(archive, f"lists more than {limits.entries} files and folders")
        parts = name_parts(member.name, limits, archive)
        total += _checked_size(member, limits, archive)
        if total > limits.unpacked_bytes(packed_bytes):
            problem = f"unpacks to more than {limits.unpacked_bytes(packed_bytes)} bytes"
            raise refused(archive, f"{problem}, too many for its {packed_bytes}")
        places.add(parts, is_folder=member.is_folder)
        if member.is_folder:
            continue
        if is_residue(parts):
            left_out += 1
            continue
        if not is_wanted(parts[-1]):
            problem = f"holds {'/'.join(parts)}, which is no file of a task (.nii, .nii.gz, .json)"
            raise refused(archive, problem)
        files.append(PlannedFile(parts, member.size, member.chunks))
    if not files:
        raise refused(archive, "holds no file")
    return Plan(_without_top_folder(files), left_out)


def _checked_size(member: Member, limits: ArchiveLimits, archive: Path) -> int:
    if member.size > limits.file_bytes or (member.is_folder and member.size):
        shown = repr(member.name[:80])[1:]
        problem = f"declares {member.size} bytes for {shown}, at most {limits.file_bytes}"
        raise refused(archive, f"{problem}, and none for a folder")
    return member.size


class _Places:
    """Which names are taken, as a file system would see it that ignores case."""

    def __init__(self, archive: Path) -> None:
        self._archive = archive
        self._files: set[str] = set()
        self._folders: dict[str, str] = {}

    def add(self, parts: tuple[str, ...], *, is_folder: bool) -> None:
        path = "/".join(parts)
        for end in range(1, len(parts) + is_folder):
            folder = "/".join(parts[:end])
            if folder.lower() in self._files:
                raise refused(self._archive, f"lists {folder} as a file and as a folder")
            if self._folders.setdefault(folder.lower(), folder) != folder:
                raise refused(self._archive, f"lists {folder} twice, in capitals and without")
        if is_folder:
            return
        if not parts or path.lower() in self._folders:
            raise refused(self._archive, f"lists {path or '.'} as a file and as a folder")
        if path.lower() in self._files:
            raise refused(self._archive, f"lists {path} twice")
        self._files.add(path.lower())


def _without_top_folder(files: list[PlannedFile]) -> tuple[PlannedFile, ...]:
    top = files[0].parts[0]
    if any(len(file.parts) < 2 or file.parts[0] != top for file in files):
        return tuple(files)
    return tuple(replace(file, parts=file.parts[1:]) for file in files)
