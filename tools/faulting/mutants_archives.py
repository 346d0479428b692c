"""Archives shown to our extractor: tar, tar.gz and zip with hostile fields and damaged bytes."""

from __future__ import annotations

import io
import json
import shutil
import tarfile
import zipfile
from pathlib import Path
from random import Random

from faulting.mutants_bytes import damage, resized
from faulting.mutants_gzip import gzip_mutant
from faulting.mutants_target import Target, Trial, require

from tomolift.data import BadInput
from tomolift.data._archive import unpack
from tomolift.data._archive_names import is_wanted

_FILES = {"T/dataset.json": json.dumps({"name": "T"}).encode(), "T/imagesTr/a.nii.gz": bytes(700),
          "T/labelsTr/a.nii.gz": b"label" * 60, "T/imagesTr/._a.nii.gz": b"fork"}  # fmt: skip
_LONG = "T/" + "d" * 60 + "/" + "f" * 60 + ".nii"
_NAMES = (
    b"../x.json", b"/x.json", b"T/../../x.json", b"T\\..\\x.json", b"C:x.json", b"T/x.json\0.nii",
    b"T/x.exe", b"T/dataset.json/x.json", b"t/DATASET.json", b"T/dataset.json", b"\xff.json", b"",
    b".", b"T/x.json/", b"T/" + b"a" * 90, b"T/a b.json ", b"-x.json", b"T/./x.json", b"T//x.json",
    b"a/b/c/d/e/f/g.json",
)  # fmt: skip
_BLOCK = 512
_PAX_RECORDS = (b"linkpath=", b"hdrcharset=", b"GNU.sparse=", b"size=00001", b"size=", b"path=../")
_TAR_KINDS = (b"0", b"\0", b"1", b"2", b"3", b"4", b"5", b"6", b"7", b"x", b"g", b"L", b"K", b"S")
_TAR_NUMBERS = (
    b"00000000000\0", b"00000000001\0", b"77777777777\0", b"00000001000 ", b"-0000000001\0",
    b"\x80\0\0\0\0\0\0\0\0\0\2\0", b"\xff" * 12, b"            ", b"0x000000010\0", b"000000000008",
)  # fmt: skip
_ZIP_PARTS = {b"PK\3\4": 30, b"PK\1\2": 46, b"PK\5\6": 22, b"PK\6\6": 56, b"PK\6\7": 20}
_ZIP_NUMBERS = (0, 1, 2, 8, 9, 12, 99, 2**15, 2**16 - 1, 2**31, 2**32 - 1, 2**62, 2**63, 2**64 - 1)


def prepare_archive(folder: Path) -> Trial:
    """Make the trial of :func:`unpack`: a whole new folder, or nothing anywhere."""
    tars, zips = _tar_seeds(), _zip_seeds()
    path, target = folder / "archive", folder / "new"

    def make(random: Random) -> bytes:
        if random.random() < 0.5:
            return _zip_mutant(random, random.choice(zips))
        data = _tar_mutant(random, random.choice(tars))
        return gzip_mutant(random, data, hostile=0.2) if random.random() < 0.3 else data

    def look(mutant: bytes) -> None:
        path.write_bytes(mutant)
        try:
            unpacked = unpack(path, target)
            files = [each for each in target.rglob("*") if not each.is_dir()]
            require(len(files) == unpacked.files, "as many files as told")
            require(not any(each.is_symlink() for each in target.rglob("*")), "no links")
            require(all(each.is_file() and is_wanted(each.name) for each in files), "task files")
            found = sum(each.stat().st_size for each in files)
            require(found == unpacked.total_bytes, "as many bytes as told")
            shutil.rmtree(target)
        except BadInput as error:
            require(error.code in {"E_ARCHIVE", "E_SPACE"}, f"{error} blames the archive")
            raise
        finally:
            left = [each.name for each in folder.iterdir() if each != path]
            shutil.rmtree(target, ignore_errors=True)
            require(not left, f"nothing left behind, but {left}")

    return Trial(make, look)


def _tar_seeds() -> tuple[bytes, ...]:
    seeds = []
    for form in (tarfile.USTAR_FORMAT, tarfile.PAX_FORMAT, tarfile.GNU_FORMAT):
        stream = io.BytesIO()
        with tarfile.open(fileobj=stream, mode="w", format=form) as archive:
            folder = tarfile.TarInfo("T")
            folder.type = tarfile.DIRTYPE
            archive.addfile(folder)
            files = _FILES if form == tarfile.GNU_FORMAT else {**_FILES, _LONG: b"voxels"}
            for name, content in files.items():
                info = tarfile.TarInfo(name)
                info.size = len(content)
                if form == tarfile.PAX_FORMAT:
                    info.pax_headers = {"comment": "x" * 40, "mtime": "1.5"}
                archive.addfile(info, io.BytesIO(content))
        seeds.append(stream.getvalue())
    return tuple(seeds)


def _tar_mutant(random: Random, data: bytes) -> bytes:
    blocks = bytearray(data)
    starts = [at for at in range(0, len(blocks), _BLOCK) if blocks[at + 257 : at + 262] == b"ustar"]
    for _ in range(random.choice((0, 1, 1, 1, 2))):
        at = random.choice(starts)
        _spoil_tar_header(random, blocks, at)
        if random.random() < 0.9:  # a wrong checksum is refused before anything else is looked at
            _mend_checksum(blocks, at)
    if random.random() < 0.1:  # as long as the record that it takes the place of
        record = random.choice(_PAX_RECORDS)
        old = b"comment=".ljust(len(record), b"x")[: len(record)]
        blocks = blocks.replace(old, record, random.randint(1, 4))
    if random.random() < 0.2:  # a pax record, or contents
        wounded = damage(random, bytes(blocks))
        blocks = bytearray(wounded) if len(wounded) == len(blocks) else blocks
    return resized(random, bytes(blocks)) if random.random() < 0.1 else bytes(blocks)


def _spoil_tar_header(random: Random, blocks: bytearray, at: int) -> None:
    offset, value = random.choice(
        (
            (0, random.choice(_NAMES).ljust(100, b"\0")[:100]),
            (345, random.choice(_NAMES).ljust(155, b"\0")[:155]),
            (124, random.choice(_TAR_NUMBERS)),
            (156, random.choice(_TAR_KINDS)),
            (157, b"/etc/passwd\0"),
            (257, random.choice((b"ustar\x0000", b"ustar  \0", b"ustar\0  "))),
            (random.randrange(500), random.randbytes(1)),
        )
    )
    blocks[at + offset : at + offset + len(value)] = value


def _mend_checksum(blocks: bytearray, at: int) -> None:
    blocks[at + 148 : at + 156] = b" " * 8
    blocks[at + 148 : at + 156] = b"%06o\0 " % sum(blocks[at : at + _BLOCK])


def _zip_seeds() -> tuple[bytes, ...]:
    seeds = []
    for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        for wide in (False, True):
            stream = io.BytesIO()
            with zipfile.ZipFile(stream, "w", method) as archive:
                for name, content in _FILES.items():
                    with archive.open(zipfile.ZipInfo(name), "w", force_zip64=wide) as file:
                        file.write(content)
            seeds.append(_widened(stream.getvalue()) if wide else stream.getvalue())
    return tuple(seeds)


def _widened(data: bytes) -> bytes:
    """Return a zip whose directory tells its numbers in 64 bits: zipfile does from 4 GiB on."""
    entries, at = bytearray(), data.index(b"PK\1\2")
    start, end = at, data.index(b"PK\5\6")
    while at < end:
        head = bytearray(data[at : at + 46])
        name, extra, comment = (int.from_bytes(head[k : k + 2], "little") for k in (28, 30, 32))
        numbers = b"".join(bytes(head[k : k + 4]) + bytes(4) for k in (24, 20, 42))
        for k in (20, 24, 42):
            head[k : k + 4] = b"\xff" * 4
        head[30:32] = (4 + len(numbers)).to_bytes(2, "little")
        entries += head + data[at + 46 : at + 46 + name] + b"\1\0\x18\0" + numbers
        at += 46 + name + extra + comment
    tail = bytearray(data[end:])
    tail[12:16] = len(entries).to_bytes(4, "little")
    return data[:start] + bytes(entries) + bytes(tail)


def _zip_mutant(random: Random, data: bytes) -> bytes:
    changed = bytearray(data)
    for _ in range(random.choice((0, 1, 1, 1, 2))):
        magic = random.choice(tuple(_ZIP_PARTS))
        places = [at for at in range(len(data)) if data.startswith(magic, at)]
        if not places:
            continue
        at, size = random.choice(places), random.choice((1, 2, 2, 4, 4, 8))
        offset = random.randrange(_ZIP_PARTS[magic] + 60)  # name and extra field stand behind
        number = random.choice(_ZIP_NUMBERS) % 256**size
        changed[at + offset : at + offset + size] = number.to_bytes(size, "little")
    if random.random() < 0.2:
        changed = _renamed(random, changed)
    if random.random() < 0.2:
        return damage(random, bytes(changed))
    return resized(random, bytes(changed)) if random.random() < 0.1 else bytes(changed)


def _renamed(random: Random, data: bytearray) -> bytearray:
    """Put another name of the same length in both places of a member."""
    old = random.choice(tuple(_FILES)).encode()
    new = (random.choice(_NAMES) + b"x" * len(old))[: len(old)]
    return bytearray(bytes(data).replace(old, new))


ARCHIVE = Target("archive", 0.01, prepare_archive)
