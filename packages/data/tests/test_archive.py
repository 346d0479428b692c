"""Honest archives unpack byte for byte, whoever packed them; the written files are plain."""

from __future__ import annotations

import gzip
import io
import os
import random
import stat
import struct
import subprocess
import tarfile
import zipfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, cast

import pytest

from tomolift.data import BadInput, read_task, write_phantom
from tomolift.data._archive import unpack
from tomolift.data._archive_limits import ArchiveLimits
from tomolift.data._files import FolderWriter

Bytes = Callable[[Path], dict[str, bytes]]


@pytest.fixture(scope="module")
def phantom(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("packed") / "Task99_Phantom"
    return write_phantom(folder, cases=2, size=32, depth=16)


def pack_tar(folder: Path, archive: Path, mode: str, **options: Any) -> None:
    with tarfile.open(archive, cast(Any, mode), **options) as tar:
        tar.add(folder, folder.name)


def pack_zip(folder: Path, archive: Path, method: int, target: IO[bytes] | None = None) -> None:
    with zipfile.ZipFile(target or archive, "w", method) as packed:
        for path in (folder, *sorted(folder.rglob("*"))):
            info = zipfile.ZipInfo.from_file(path, path.relative_to(folder.parent))
            info.compress_type = method
            info.extra = struct.pack("<HHBI", 0x5455, 5, 1, 0)  # a time stamp, as Info-ZIP writes
            packed.writestr(info, b"" if path.is_dir() else path.read_bytes())


def pack_streamed_zip(folder: Path, archive: Path) -> None:
    """Sizes stand behind the data, as where a zip is written into a pipe."""

    class Pipe(io.BytesIO):
        def seekable(self) -> bool:
            return False

        def seek(self, *arguments: Any) -> int:
            raise io.UnsupportedOperation

        def tell(self) -> int:
            raise io.UnsupportedOperation

    pipe = Pipe()
    pack_zip(folder, archive, zipfile.ZIP_DEFLATED, pipe)
    archive.write_bytes(pipe.getvalue())


def pack_wide_zip(folder: Path, archive: Path) -> None:
    """With the 64-bit fields that archives above 4 GB have."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(zipfile, "ZIP64_LIMIT", 100)
        pack_zip(folder, archive, zipfile.ZIP_DEFLATED)
    assert b"PK\6\6" in archive.read_bytes()


def pack_without_top(folder: Path, archive: Path) -> None:
    with tarfile.open(archive, "w") as tar:
        tar.add(folder, ".")


def pack_by_gnu_tar(folder: Path, archive: Path) -> None:
    subprocess.run(["tar", "-cf", archive, "-C", folder.parent, folder.name], check=True)


PACKERS: dict[str, Callable[[Path, Path], None]] = {
    "tar-gnu": lambda folder, archive: pack_tar(folder, archive, "w", format=tarfile.GNU_FORMAT),
    "tar-pax": lambda folder, archive: pack_tar(
        folder, archive, "w", format=tarfile.PAX_FORMAT, pax_headers={"comment": "of all files"}
    ),
    "tar-ustar": lambda folder, archive: pack_tar(
        folder, archive, "w", format=tarfile.USTAR_FORMAT
    ),
    "tar-by-gnu-tar": pack_by_gnu_tar,
    "tar-without-top": pack_without_top,
    "tar-gz": lambda folder, archive: pack_tar(folder, archive, "w:gz"),
    "zip-stored": lambda folder, archive: pack_zip(folder, archive, zipfile.ZIP_STORED),
    "zip-deflated": lambda folder, archive: pack_zip(folder, archive, zipfile.ZIP_DEFLATED),
    "zip-streamed": pack_streamed_zip,
    "zip-wide": pack_wide_zip,
}


@pytest.mark.parametrize("kind", PACKERS)
def test_an_honest_archive_unpacks_byte_for_byte(
    kind: str, phantom: Path, tmp_path: Path, folder_bytes: Bytes
) -> None:
    archive = tmp_path / "archive"
    PACKERS[kind](phantom, archive)
    unpacked = unpack(archive, tmp_path / "task")
    assert folder_bytes(tmp_path / "task") == folder_bytes(phantom)
    assert (unpacked.files, unpacked.left_out) == (5, 0)
    assert unpacked.total_bytes == sum(map(len, folder_bytes(phantom).values()))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["archive", "task"]


def test_a_real_task_unpacks_byte_for_byte(
    task04: Path, tmp_path: Path, folder_bytes: Bytes
) -> None:
    pack_by_gnu_tar(task04, tmp_path / "task04.tar")
    unpacked = unpack(tmp_path / "task04.tar", tmp_path / "task", accept=read_task)
    assert unpacked.files == 521
    assert folder_bytes(tmp_path / "task") == folder_bytes(task04)


def tar_of(path: Path, *members: tuple[str, bytes], **changes: Any) -> Path:
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as tar:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            for field, value in changes.items():
                setattr(info, field, value)
            tar.addfile(info, io.BytesIO(data))
    return path


def test_long_names_and_attributes_in_pax_headers_are_read(tmp_path: Path) -> None:
    name = f"task/{'a' * 100}/{'b' * 100}.json"
    attributes = {"mtime": "1.5", "LIBARCHIVE.xattr.com.apple.provenance": "AQIA"}
    tar_of(tmp_path / "a.tar", (name, b"{}"), pax_headers=attributes, uid=10**9)
    unpack(tmp_path / "a.tar", tmp_path / "task")
    assert (tmp_path / name).read_bytes() == b"{}"


def test_what_a_desktop_left_behind_is_left_out_and_counted(tmp_path: Path) -> None:
    residue = ("._task", "task/._dataset.json", "task/.DS_Store", "__MACOSX/task/._a.json")
    members = [(name, b"\0") for name in residue]
    tar_of(tmp_path / "a.tar", *members, ("task/dataset.json", b"{}"))
    unpacked = unpack(tmp_path / "a.tar", tmp_path / "new")
    assert unpacked.left_out == 4
    assert [path.name for path in (tmp_path / "new").rglob("*")] == ["dataset.json"]


def test_modes_owners_and_times_of_an_archive_are_not_taken(tmp_path: Path) -> None:
    tar_of(tmp_path / "a.tar", ("task/a.json", b"{}"), mode=0o6777, uid=12345, gid=6, mtime=1)
    before = os.umask(0o022)
    try:
        unpack(tmp_path / "a.tar", tmp_path / "task")
    finally:
        os.umask(before)
    status = (tmp_path / "task" / "a.json").stat()
    assert stat.S_IMODE(status.st_mode) == 0o644
    assert (status.st_uid, status.st_gid) == (os.getuid(), tmp_path.stat().st_gid)
    assert status.st_mtime > 1


def test_several_gzip_members_are_one_archive(tmp_path: Path) -> None:
    data = tar_of(tmp_path / "a.tar", ("task/a.json", b"{}" * 999)).read_bytes()
    (tmp_path / "a.tar.gz").write_bytes(gzip.compress(data[:700]) + gzip.compress(data[700:]))
    unpack(tmp_path / "a.tar.gz", tmp_path / "task")
    assert (tmp_path / "task" / "a.json").read_bytes() == b"{}" * 999


def test_a_folder_that_is_not_empty_is_not_touched(tmp_path: Path) -> None:
    tar_of(tmp_path / "a.tar", ("task/a.json", b"{}"))
    (tmp_path / "task").mkdir()
    (tmp_path / "task" / "mine").write_text("mine")
    with pytest.raises(BadInput, match="is not an empty folder; name a new one") as raised:
        unpack(tmp_path / "a.tar", tmp_path / "task")
    assert raised.value.code == "E_ARGUMENT"
    assert [path.name for path in (tmp_path / "task").iterdir()] == ["mine"]


def test_a_link_is_not_taken_for_the_folder(tmp_path: Path) -> None:
    tar_of(tmp_path / "a.tar", ("task/a.json", b"{}"))
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "task").symlink_to("elsewhere")
    with pytest.raises(BadInput, match="is not an empty folder"):
        unpack(tmp_path / "a.tar", tmp_path / "task")
    assert list((tmp_path / "elsewhere").iterdir()) == []


@pytest.mark.parametrize("kind", ["missing", "fifo", "folder"])
def test_what_is_no_file_is_no_archive(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "archive"
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    with pytest.raises(BadInput) as raised:
        unpack(path, tmp_path / "task")
    assert raised.value.code == "E_MISSING"


def test_an_archive_that_cannot_be_read_is_told_as_that(tmp_path: Path) -> None:
    with pytest.raises(
        BadInput, match=r"cannot be read to its end \(Input/output error\)"
    ) as raised:
        unpack(Path("/proc/self/mem"), tmp_path / "task")  # a file whose first bytes give EIO
    assert raised.value.code == "E_IO"


def test_a_folder_that_is_not_accepted_goes(tmp_path: Path) -> None:
    tar_of(tmp_path / "a.tar", ("task/dataset.json", b"[]"))
    with pytest.raises(BadInput, match="is no JSON object"):
        unpack(tmp_path / "a.tar", tmp_path / "task", accept=read_task)
    assert [path.name for path in tmp_path.iterdir()] == ["a.tar"]


def test_too_little_room_is_told_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tar_of(tmp_path / "a.tar", ("task/a.nii", bytes(5000)))

    class Disk:
        f_bavail, f_frsize = 4, 1024

    monkeypatch.setattr(os, "statvfs", lambda path: Disk)
    with pytest.raises(BadInput, match="has 4096 bytes free, 5000 are needed") as raised:
        unpack(tmp_path / "a.tar", tmp_path / "task")
    assert raised.value.code == "E_SPACE"
    assert [path.name for path in tmp_path.iterdir()] == ["a.tar"]


@pytest.mark.parametrize(
    ("limits", "reason"),
    [
        (ArchiveLimits(entries=1), "more than 1 files"),
        (ArchiveLimits(total_bytes=29), "more than 29 bytes"),
        (ArchiveLimits(file_bytes=19), "declares 20 bytes for 'task/b.json', at most 19"),
        (ArchiveLimits(path_characters=10), "has 11 characters, at most 10"),
        (ArchiveLimits(depth=1), "is 2 deep, at most 1"),
    ],
)
def test_every_limit_is_kept_to_the_byte(
    limits: ArchiveLimits, reason: str, tmp_path: Path
) -> None:
    members = (("task/a.json", bytes(10)), ("task/b.json", bytes(20)))
    enough = {"entries": 2, "total_bytes": 30, "file_bytes": 20, "path_characters": 11, "depth": 2}
    tar_of(tmp_path / "a.tar", *members)
    with pytest.raises(BadInput, match=reason):
        unpack(tmp_path / "a.tar", tmp_path / "task", limits=limits)
    unpack(tmp_path / "a.tar", tmp_path / "task", limits=ArchiveLimits(**enough))


@pytest.mark.parametrize("parts", [("a.json",), ("sub", "a.json")])
def test_a_link_planted_where_a_file_goes_is_never_followed(
    parts: tuple[str, ...], tmp_path: Path
) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "a.json").write_text("canary")
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "a.json").symlink_to("../outside/a.json")
    (tmp_path / "new" / "sub").symlink_to("../outside")
    with FolderWriter(tmp_path / "new") as writer, pytest.raises(OSError, match=parts[0]):
        writer.write(parts, 4, [b"evil"])
    assert (tmp_path / "outside" / "a.json").read_text() == "canary"
    assert len(list((tmp_path / "outside").iterdir())) == 1


@pytest.mark.parametrize("kind", ["tar-pax", "tar-gz", "zip-deflated"])
def test_a_damaged_archive_is_bad_input_or_unpacks(
    kind: str, phantom: Path, tmp_path: Path
) -> None:
    archive = tmp_path / "archive"
    PACKERS[kind](phantom, archive)
    whole = archive.read_bytes()
    draw = random.Random(0)
    refusals = 0
    for index in range(60):
        data = bytearray(whole)
        for _ in range(draw.choice((1, 4, 40))):
            # headers of a tar and a zip's directory stand at the ends: half of the changes there
            at = draw.choice(
                (draw.randrange(600), -draw.randrange(1, 600), draw.randrange(len(data)))
            )
            data[at] = draw.randrange(256)
        archive.write_bytes(data[: draw.choice((len(data), draw.randrange(len(data))))])
        with suppress(BadInput):  # and nothing else
            unpack(archive, tmp_path / f"task{index}")
            continue
        refusals += 1
        assert not (tmp_path / f"task{index}").exists()
    assert refusals > 20
    assert not [path for path in tmp_path.iterdir() if path.name.endswith(".tmp")]
