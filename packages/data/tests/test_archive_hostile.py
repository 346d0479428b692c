"""Hostile archives, each made here: refused with a code, nothing written inside or outside."""

from __future__ import annotations

import gzip
import io
import os
import stat
import struct
import tracemalloc
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tomolift.data import BadInput
from tomolift.data._archive import unpack

END = bytes(1024)
JSON = b"{}"
A_JSON = ("task/a.json", JSON)
Make = Callable[[Path], bytes]


def header(
    name: bytes, size: int = 0, kind: bytes = b"0", *, size_field: bytes = b"", target: bytes = b""
) -> bytes:
    """A tar header, byte by byte."""
    block = bytearray(512)
    block[0 : len(name)] = name
    block[100:108] = b"0004755\0"  # set-uid
    block[124:136] = size_field or b"%011o\0" % size
    block[136:148] = b"00000000000\0"
    block[156:157] = kind
    block[157 : 157 + len(target)] = target
    block[257:265] = b"ustar\x0000"
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


def entry(name: bytes, data: bytes = JSON, kind: bytes = b"0") -> bytes:
    return header(name, len(data), kind) + data + bytes(-len(data) % 512)


def pax(*records: tuple[str, str], kind: bytes = b"x") -> bytes:
    data = b""
    for key, value in records:
        rest = f" {key}={value}\n".encode()
        length = len(rest) + 1
        while length != len(rest) + len(str(length)):
            length = len(rest) + len(str(length))
        data += str(length).encode() + rest
    return entry(b"pax", data, kind)


def tar(*entries: bytes) -> Make:
    return lambda outside: entry(b"task/dataset.json") + b"".join(entries) + END


def named(name: bytes) -> Make:
    return tar(entry(name))


def of_kind(kind: bytes, target: bytes = b"../canary.json") -> Make:
    return tar(header(b"task/a.json", 0, kind, target=target))


def zipped(
    *entries: tuple[str, bytes], mode: int = 0o644, method: int = 0, comment: bytes = b""
) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # zipfile notices the duplicates that are wanted here
        for name, data in (("task/dataset.json", JSON), *entries):
            info = zipfile.ZipInfo("task/plain.json")
            info.external_attr, info.compress_type = mode << 16, method
            info.comment = comment
            info.filename = name  # set afterwards: ZipInfo would tame it
            archive.writestr(info, data)
    return stream.getvalue()


def zip_named(name: str) -> Make:
    return lambda outside: zipped((name, JSON))


def zip_of_mode(mode: int) -> Make:
    return lambda outside: zipped(("task/a.json", b"../canary.json"), mode=mode)


def changed(data: bytes, old: bytes, new: bytes, *, first: bool = True) -> bytes:
    assert old in data
    assert len(old) == len(new)
    at = data.find(old) if first else data.rfind(old)
    return data[:at] + new + data[at + len(old) :]


def directory_field(data: bytes, offset: int, code: str, value: int) -> bytes:
    """Change a field of the last entry of a zip's directory."""
    at = data.rfind(b"PK\1\2") + offset
    return data[:at] + struct.pack(code, value) + data[at + struct.calcsize(code) :]


def end_field(data: bytes, offset: int, code: str, value: int) -> bytes:
    at = data.rfind(b"PK\5\6") + offset
    return data[:at] + struct.pack(code, value) + data[at + struct.calcsize(code) :]


def on_directory(offset: int, code: str, value: int) -> Make:
    return lambda outside: directory_field(zipped(A_JSON), offset, code, value)


def on_end(offset: int, code: str, value: int) -> Make:
    return lambda outside: end_field(zipped(), offset, code, value)


def deflated(data: bytes) -> bytes:
    return zipped(("task/a.nii", data), method=zipfile.ZIP_DEFLATED)


def zip_overlapping(outside: Path) -> bytes:
    """The bytes of one member are a member of their own."""
    inner = zipped(("task/b.json", JSON))
    inner = inner[inner.rfind(b"PK\3\4") : inner.find(b"PK\1\2")]
    data = zipped(("task/a.json", inner), ("task/b.json", JSON))
    return directory_field(data, 42, "<I", data.find(inner))


def zip_of_wide_offset(outside: Path) -> bytes:
    """A member that 64 bits place where no file reaches."""
    field = struct.pack("<HHQ", 1, 8, 2**63)
    data = directory_field(zipped(A_JSON), 42, "<I", 2**32 - 1)
    data = directory_field(data, 30, "<H", len(field)).replace(b"PK\5\6", field + b"PK\5\6")
    return end_field(data, 12, "<I", data.find(b"PK\5\6") - data.find(b"PK\1\2"))


def gz(make: Make) -> Make:
    return lambda outside: gzip.compress(make(outside), 1)


ZEROS = 120 * 2**20  # deflates to 120 KB, and a small archive may unpack to 100 MB

PLAIN = "is not made of letters"
KINDS_ONLY = "expected files and folders only"
NO_OCTAL = "is no octal number"
OTHER_CONTENTS = "has other contents than declared"
NOWHERE = "has no member where"
APART = "has something before, between or after its parts"
WIDE = "has a damaged 64-bit directory"
TOO_MANY_BYTES = "unpacks to more than 104857600 bytes"

TARS: dict[str, tuple[Make, str]] = {
    "absolute": (
        lambda outside: tar(entry(f"{outside}/evil.json".encode()))(outside), "is absolute",
    ),
    "up": (named(b"../evil.json"), "leaves its folder"),
    "up-in-the-middle": (named(b"task/../../evil.json"), "leaves its folder"),
    "up-at-the-end": (named(b"task/.."), "leaves its folder"),
    "backslashes": (named(b"..\\evil.json"), PLAIN),
    "drive": (named(b"C:evil.json"), PLAIN),
    "control-characters": (named(b"task/\x1b[2J.json"), PLAIN),
    "newline": (named(b"task/a\n.json"), PLAIN),
    "no-utf8": (named(b"task/\xff\xfe.json"), PLAIN),
    "right-to-left": (named("task/\u202enosj.json".encode()), PLAIN),
    "nul": (named(b"task/a.json\0/../../evil.json"), "has a NUL within the name"),
    "trailing-dot": (named(b"task/a.json."), PLAIN),
    "trailing-space": (named(b"task /a.json"), PLAIN),
    "empty-part": (named(b"task//a.json"), PLAIN),
    "empty-name": (named(b""), PLAIN),
    "capitals": (tar(entry(b"task/a.json"), entry(b"task/A.json")), "task/A.json twice"),
    "capital-folder": (tar(entry(b"Task/a.json")), "lists Task twice"),
    "twice": (tar(entry(b"task/a.json"), entry(b"task/./a.json")), "task/a.json twice"),
    "file-then-folder": (
        tar(entry(b"task/a.json"), entry(b"task/a.json/b.json")), "a file and as a folder",
    ),
    "folder-then-file": (
        tar(entry(b"task/a.json/b.json"), entry(b"task/a.json")), "a file and as a folder",
    ),
    "folder-as-file": (named(b"task/sub.json/"), "lists the folder 'task/sub.json/' as a file"),
    "symbolic-link": (of_kind(b"2"), "a symbolic link"),
    "through-a-link": (
        tar(header(b"task/out", 0, b"2", target=b"../.."), entry(b"task/out/evil.json")),
        "a symbolic link",
    ),
    "hard-link": (of_kind(b"1"), "a hard link"),
    "character-device": (of_kind(b"3", b""), "a character device"),
    "block-device": (of_kind(b"4", b""), "a block device"),
    "fifo": (of_kind(b"6", b""), "a fifo"),
    "contiguous": (of_kind(b"7", b""), "type b'7'"),
    "sparse": (of_kind(b"S", b""), "a sparse file"),
    "unknown-kind": (of_kind(b"Z", b""), "type b'Z'"),
    "gnu-long-name": (
        tar(entry(b"././@LongLink", b"../evil.json\0", b"L"), entry(b"a.json")), "a GNU long name",
    ),
    "gnu-long-link": (
        tar(entry(b"././@LongLink", b"../../etc\0", b"K"), entry(b"a.json")), "a GNU long link",
    ),
    "pax-path": (
        tar(pax(("path", "../evil.json")), entry(b"task/a.json")), "leaves its folder",
    ),
    "pax-linkpath": (
        tar(pax(("linkpath", "../canary.json")), entry(b"task/a.json")), "sets linkpath",
    ),
    "pax-size": (tar(pax(("size", "1024")), entry(b"task/a.json")), "declares two sizes"),
    "pax-sparse": (
        tar(pax(("GNU.sparse.name", "../evil.json")), entry(b"task/a.json")), "sets GNU.sparse",
    ),
    "pax-global-path": (
        tar(pax(("path", "../evil.json"), kind=b"g"), entry(b"task/a.json")), "sets path",
    ),
    "pax-alone": (tar(pax(("path", "task/a.json"))), "has no proper end"),
    "pax-of-a-pax": (
        tar(pax(("path", "a.json")), pax(("path", "b.json")), entry(b"task/a.json")),
        "belongs to no file",
    ),
    "pax-twice": (
        tar(pax(("path", "a.json"), ("path", "../evil.json")), entry(b"task/a.json")),
        "has a damaged extended header",
    ),
    "pax-damaged": (
        tar(entry(b"pax", b"999 path=a\n", b"x"), entry(b"task/a.json")),
        "has a damaged extended header",
    ),
    "pax-of-4-gb": (tar(header(b"pax", 2**32, b"x")), "has an extended header of 4294967296 bytes"),
    "size-negative": (tar(header(b"task/a.json", size_field=b"\xff" * 12)), NO_OCTAL),
    "size-of-70-tb": (
        tar(header(b"task/a.nii", size_field=b"\x80" + (70 * 2**40).to_bytes(11))), NO_OCTAL,
    ),
    "size-beyond-the-end": (tar(header(b"task/a.nii", 2**20)), "declares more bytes than"),
    "folder-with-bytes": (tar(entry(b"task/sub/", JSON, b"5")), "none for a folder"),
    "cut": (lambda outside: entry(b"task/dataset.json"), "is cut off"),
    "cut-in-a-file": (
        lambda outside: header(b"task/a.nii", 4096) + bytes(1000), "declares more bytes than",
    ),
    "one-end-block": (lambda outside: entry(b"task/a.json") + bytes(512), "is cut off"),
    "end-within": (
        lambda outside: entry(b"task/a.json") + bytes(512) + entry(b"b.json") + END,
        "has no proper end",
    ),
    "checksum": (
        lambda outside: changed(tar()(outside), b"dataset", b"Dataset"), "wrong checksum",
    ),
    "program": (named(b"task/run.py"), "which is no file of a task"),
    "library": (named(b"task/imagesTr/a.nii.so"), "which is no file of a task"),
    "too-long": (
        tar(pax(("path", "task/" + "a" * 300 + ".json")), entry(b"task/a.json")),
        "has 310 characters, at most 240",
    ),
    "too-long-a-part": (
        tar(pax(("path", "task/" + "a" * 121 + ".json")), entry(b"task/a.json")), PLAIN,
    ),
    "too-deep": (named(b"a/b/c/d/e/f/g.json"), "is 7 deep, at most 6"),
    "too-many": (
        tar(*(header(b"task/%d.json" % index) for index in range(20_000))), "more than 20000",
    ),
    "too-many-headers": (tar(pax(("comment", ""), kind=b"g") * 60_000), "60000 headers"),
    "nothing": (lambda outside: header(b"task/", 0, b"5") + END, "holds no file"),
    "only-desktop-files": (lambda outside: entry(b"task/._a.json") + END, "holds no file"),
    "gz-bomb": (gz(tar(header(b"task/a.nii", ZEROS), bytes(ZEROS))), TOO_MANY_BYTES),
    "gz-bomb-behind-the-end": (gz(tar(END, bytes(ZEROS))), TOO_MANY_BYTES),
    "gz-bomb-as-a-pax-file": (
        gz(tar(*[header(b"p", 2**20, b"g") + b"1048576 a=%s\n" % bytes(2**20 - 11)] * 110)),
        "declares more bytes than the 104857600",
    ),
    "gz-cut-in-a-file": (
        gz(lambda outside: header(b"task/a.nii", 4096) + bytes(1000)), "is cut off within a file",
    ),
    "gz-cut": (lambda outside: gz(tar())(outside)[:-9], "is damaged"),
    "gz-crc": (lambda outside: gz(tar())(outside)[:-8] + b"\0" * 8, "CRC check failed"),
    "gz-damaged": (lambda outside: gz(tar())(outside)[:30] + b"\xff" * 60, "is damaged"),
}  # fmt: skip

ZIPS: dict[str, tuple[Make, str]] = {
    "absolute": (lambda outside: zipped((f"{outside}/evil.json", JSON)), "is absolute"),
    "up": (zip_named("../evil.json"), "leaves its folder"),
    "backslashes": (zip_named("..\\evil.json"), PLAIN),
    "drive": (zip_named("C:/evil.json"), PLAIN),
    "nul": (zip_named("task/a.json\0.py"), PLAIN),
    "twice": (
        lambda outside: zipped(("task/a.json", JSON), ("task/a.json", JSON)), "task/a.json twice",
    ),
    "symbolic-link": (zip_of_mode(stat.S_IFLNK | 0o777), KINDS_ONLY),
    "device": (zip_of_mode(stat.S_IFCHR | 0o666), KINDS_ONLY),
    "fifo": (zip_of_mode(stat.S_IFIFO | 0o666), KINDS_ONLY),
    "folder-by-mode": (zip_of_mode(stat.S_IFDIR | 0o755), KINDS_ONLY),
    "folder-with-bytes": (zip_named("task/sub/"), "none for a folder"),
    "program": (zip_named("task/run.sh"), "which is no file of a task"),
    "encrypted": (on_directory(8, "<H", 1), "encrypted or packed otherwise"),
    "lzma": (
        lambda outside: zipped(("task/a.json", JSON), method=zipfile.ZIP_LZMA),
        "encrypted or packed otherwise",
    ),
    "two-names": (
        lambda outside: changed(zipped(A_JSON), b"task/a.json", b"../e/a.json", first=False),
        "tells two stories",
    ),
    "overlapping": (zip_overlapping, "has members that overlap"),
    "bomb": (lambda outside: deflated(bytes(ZEROS)), TOO_MANY_BYTES),
    "bomb-that-lies": (
        lambda outside: directory_field(deflated(bytes(ZEROS)), 24, "<I", 1000), OTHER_CONTENTS,
    ),
    "size-larger": (
        lambda outside: directory_field(deflated(JSON), 24, "<I", 1000), OTHER_CONTENTS,
    ),
    "stored-with-two-sizes": (on_directory(24, "<I", 1000), "declares two sizes"),
    "crc": (on_directory(16, "<I", 7), OTHER_CONTENTS),
    "damaged": (
        lambda outside: changed(deflated(b"abc" * 9), b"KLJN", b"\xff" * 4), "invalid block type",
    ),
    "cut-within-a-member": (
        lambda outside: directory_field(deflated(b"abc" * 9), 20, "<I", 4), "damaged contents",
    ),
    "offset-beyond": (on_directory(42, "<I", 10**6), NOWHERE),
    "offset-beyond-all-files": (zip_of_wide_offset, NOWHERE),
    "wide-without-its-field": (on_directory(24, "<I", 2**32 - 1), WIDE),
    "wide-end-missing": (on_end(16, "<I", 2**32 - 1), WIDE),
    "wide-end-damaged": (
        lambda outside: zipped().replace(b"PK\5\6", b"PK\6\7" + bytes(16) + b"PK\5\6"), WIDE,
    ),
    "count": (lambda outside: end_field(on_end(8, "<H", 9)(outside), 10, "<H", 9), "declares 9"),
    "too-many": (
        lambda outside: end_field(on_end(8, "<H", 30_000)(outside), 10, "<H", 30_000),
        "lists 30000 files and folders, at most 20000",
    ),
    "two-counts": (on_end(10, "<H", 9), "several volumes"),
    "volumes": (on_end(4, "<H", 1), "several volumes"),
    "directory-cut": (on_end(12, "<I", 40), APART),
    "directory-of-13-mb": (
        lambda outside: zipped(*[A_JSON] * 200, comment=bytes(65_535)), "has a directory of 131",
    ),
    "directory-damaged": (
        lambda outside: changed(zipped(A_JSON), b"PK\1\2", b"PK\1\3", first=False),
        "has a damaged directory",
    ),
    "cut": (lambda outside: zipped()[:-10], "has no directory"),
    "something-before": (lambda outside: b"PK\3\4" + zipped(), APART),
    "something-between": (
        lambda outside: zipped().replace(b"PK\5\6", b"....PK\5\6"), APART,
    ),
    "something-after": (lambda outside: zipped() + b"more", APART),
    "empty": (lambda outside: b"PK\5\6" + bytes(18), "holds no file"),
}  # fmt: skip

OTHERS: dict[str, tuple[Make, str]] = {
    "page": (lambda outside: b"<!DOCTYPE html><html>404</html>" * 40, "is no tar, tar.gz or zip"),
    "no-bytes": (lambda outside: b"", "is no tar, tar.gz or zip"),
    "gz-of-a-page": (lambda outside: gzip.compress(b"<html>" * 400), "is no ustar, pax or GNU tar"),
}

HOSTILE = {
    f"{kind}-{name}": case
    for kind, cases in (("tar", TARS), ("zip", ZIPS), ("other", OTHERS))
    for name, case in cases.items()
}
GREEDY = [name for name in HOSTILE if "bomb" in name or "-of-" in name]


def snapshot(folder: Path) -> dict[str, tuple[int, int, bytes]]:
    """Everything below a folder, links, modes and times of files included."""
    found = {}
    for path in sorted(folder.rglob("*")):
        status = path.lstat()
        is_file = stat.S_ISREG(status.st_mode)
        data = path.read_bytes() if is_file else os.fsencode(path.name)
        # a temporary folder that came and went changes its parent's time, and only that
        time = 0 if stat.S_ISDIR(status.st_mode) else status.st_mtime_ns
        found[str(path.relative_to(folder))] = (status.st_mode, time, data)
    return found


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder to unpack below, two levels down from where all is watched, with canaries."""
    folder = tmp_path / "home" / "data"
    folder.mkdir(parents=True)
    for parent in (tmp_path, tmp_path / "home", folder):
        (parent / "canary.json").write_text("canary")
    return folder


def test_there_are_at_least_thirty_of_each_kind() -> None:
    assert len(TARS) >= 30
    assert len(ZIPS) >= 30


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_archive_is_refused_and_nothing_is_written_anywhere(
    name: str, place: Path
) -> None:
    make, reason = HOSTILE[name]
    watched = place.parent.parent
    archive = place / "archive"
    archive.write_bytes(make(watched))
    before = snapshot(watched)
    with pytest.raises(BadInput) as raised:
        unpack(archive, place / "task")
    assert raised.value.code == "E_ARCHIVE"
    assert raised.value.where == str(archive)
    assert reason in raised.value.problem
    assert str(raised.value).isprintable()
    assert len(str(raised.value)) < 600
    assert snapshot(watched) == before


@pytest.mark.parametrize("name", GREEDY)
def test_what_asks_for_much_memory_gets_little(name: str, place: Path) -> None:
    archive = place / "archive"
    archive.write_bytes(HOSTILE[name][0](place))
    tracemalloc.start()
    try:
        with pytest.raises(BadInput):
            unpack(archive, place / "task")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 8 * 2**20  # some pieces of a megabyte; the bombs hold 110 or more
