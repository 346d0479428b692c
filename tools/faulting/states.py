"""What a reader sees of a cache folder, and what its bytes are."""

from __future__ import annotations

import hashlib
from pathlib import Path

from tomolift.data import BadInput, open_cache

NO_CACHE = "no cache"


def folder_bytes(folder: Path) -> dict[str, bytes]:
    """Return every file of a folder and, with a slash, every folder in it, by relative path."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if path.is_dir():
            found[f"{name}/"] = b""
        else:
            found[name] = path.read_bytes()
    return found


def difference(found: dict[str, bytes], expected: dict[str, bytes]) -> str:
    """Return in words how two folders differ; empty where they do not."""
    missing = [name for name in expected if name not in found]
    extra = [name for name in found if name not in expected]
    other = [name for name in found if name in expected and found[name] != expected[name]]
    kinds = (("missing", missing), ("left over", extra), ("different", other))
    return ", ".join(f"{kind}: {' '.join(names[:4])}" for kind, names in kinds if names)


def seen_by_reader(cache_dir: Path) -> str:
    """Return a digest of all that a reader gets from a cache, or why there is none.

    The second begins with `NO_CACHE`. Whoever could open a cache must be able to read all of it:
    an error after that is returned as such and equals no state that a cache may have.
    """
    try:
        cache = open_cache(cache_dir)
    except BadInput as error:
        return f"{NO_CACHE}: {error}"
    digest = hashlib.sha256(cache.fingerprint.encode())
    try:
        for case in cache.cases:
            digest.update(repr(cache[case].to_json()).encode())
            digest.update(cache.raw(case).tobytes())
            digest.update(cache.labels(case).tobytes())
    except BadInput as error:
        return f"opened, but not whole: {error}"
    return digest.hexdigest()
