"""The digests of a file, read once."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

_CHUNK_BYTES = 2**22


@dataclass(frozen=True)
class Digests:
    """Hex digests: MD5 finds corruption, SHA-256 forgery, too."""

    md5: str
    sha256: str


def file_digests(path: Path, progress: Callable[[int, int], None] | None = None) -> Digests:
    """Return the digests of ``path``; ``progress`` is called with bytes read and bytes in all.

    Raises:
        OSError: it cannot be read.
    """
    md5, sha256 = hashlib.md5(usedforsecurity=False), hashlib.sha256()
    total, done = path.stat().st_size, 0
    with path.open("rb") as file:
        while data := file.read(_CHUNK_BYTES):
            md5.update(data)
            sha256.update(data)
            done += len(data)
            if progress:
                progress(done, total)
    return Digests(md5.hexdigest(), sha256.hexdigest())
