"""What an entry of the journal, and so of CACHE.json, must look like to be used.

A right checksum tells that an entry is undamaged, not that this package wrote it: a downloaded
cache can hold anything, signed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from ._format import IMAGE_DTYPES
from ._headers import MAX_SIDE
from ._msd import IGNORE_LABEL, is_case_name
from .errors import CODES

# label counts of 4096 slices and 255 classes are 8 MB; a file is read whole that says its size
MAX_RECORD_BYTES = 2**26

_Check = Callable[[Any], bool]
_KEY = re.compile("[0-9a-f]{64}")  # SHA-256; it stands in file names


def is_sound_entry(entry: object) -> bool:
    """Return whether ``entry`` has every field of its status, each of its kind and in range.

    Example:
        >>> is_sound_entry({"case": "a", "status": "ok"})
        False
    """
    if not isinstance(entry, dict) or not isinstance(entry.get("status"), str):
        return False
    fields = _BY_STATUS.get(entry["status"])
    return fields is not None and all(
        name in entry and check(entry[name]) for name, check in (_ALWAYS | fields).items()
    ) and _fits(entry)  # fmt: skip


def _fits(entry: Mapping[str, Any]) -> bool:
    """Return whether fields fit each other: slices that are no padding lie within the depth."""
    return entry["status"] != "ok" or entry["valid"][1] <= entry["shape"][0]


def _is_integer(value: Any, least: int = 0, most: int = 2**63 - 1) -> bool:
    return type(value) is int and least <= value <= most  # True is an int to isinstance


def _is_line(value: Any) -> bool:
    """Return whether ``value`` can be printed as it is."""
    return isinstance(value, str) and value.isprintable()


def _is_side(value: Any) -> bool:
    return _is_integer(value, 1, MAX_SIDE)


def _is_shape(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 3 and all(map(_is_side, value))


def _is_range(value: Any) -> bool:
    """Return whether ``value`` is a first index and a stop behind it."""
    is_pair = isinstance(value, list) and len(value) == 2 and all(map(_is_integer, value))
    return is_pair and value[0] < value[1]


def _is_configuration(value: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(v, str | int) for v in value.values())


def _are_sources(value: Any) -> bool:
    return isinstance(value, dict) and all(map(_is_identity, value.values()))


def _is_identity(value: Any) -> bool:
    return value is None or _is_configuration(value)  # plain text and integers alike


_ALWAYS: dict[str, _Check] = {
    "case": is_case_name,
    "key": lambda value: isinstance(value, str) and _KEY.fullmatch(value) is not None,
    "sources": _are_sources,
    "configuration": _is_configuration,
    "classes": lambda value: _is_integer(value, 1, IGNORE_LABEL),
}
_BY_STATUS: dict[str, dict[str, _Check]] = {
    "ok": {
        "shape": _is_shape,
        "dtype": lambda value: value in IMAGE_DTYPES,
        "valid": _is_range,
        "record_bytes": lambda value: _is_integer(value, 1, MAX_RECORD_BYTES),
        "record_crc32": _is_integer,
        "notes": lambda value: isinstance(value, list) and all(map(_is_line, value)),
    },
    "dropped": {"depth": _is_side},
    "failed": {
        "code": lambda value: isinstance(value, str) and value in CODES,
        "message": _is_line,
    },
}
