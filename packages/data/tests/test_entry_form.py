"""Signed entries that this package would never have written."""

from __future__ import annotations

from typing import Any

import pytest

from tomolift.data._entry_form import is_sound_entry

BASIS: dict[str, Any] = {
    "case": "a",
    "key": "0" * 64,
    "sources": {
        "image": {"path": "a.nii", "size": 3, "mtime_ns": 4, "trailer": "00"},
        "label": None,
    },
    "configuration": {"depth": 4, "short": "drop", "axes": "canonical"},
    "classes": 3,
}
OK = BASIS | {
    "status": "ok", "shape": [4, 5, 6], "dtype": "<i2", "valid": [0, 4], "record_bytes": 9,
    "record_crc32": 2**32 - 1, "notes": ["float32"],
}  # fmt: skip
DROPPED = BASIS | {"status": "dropped", "depth": 3}
FAILED = BASIS | {"status": "failed", "code": "E_SHAPE", "message": "a.nii: differs [E_SHAPE]"}


@pytest.mark.parametrize("entry", [OK, DROPPED, FAILED, OK | {"later": [1]}])
def test_what_a_build_writes_is_sound(entry: dict[str, Any]) -> None:
    assert is_sound_entry(entry)


@pytest.mark.parametrize("entry", [OK, DROPPED, FAILED])
def test_no_field_may_be_left_out(entry: dict[str, Any]) -> None:
    for name in entry:
        assert not is_sound_entry({key: entry[key] for key in entry if key != name})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("status", "good"), ("status", ["ok"]), ("status", None),
        ("case", ["a"]), ("case", "../a"), ("case", "a/b"), ("case", "a\n"),
        ("key", 3), ("sources", []), ("sources", {"image": [1]}), ("configuration", "depth"),
        ("configuration", {"depth": []}), ("classes", 0), ("classes", 256), ("classes", True),
        ("shape", [4, 5]), ("shape", ["4", 5, 6]), ("shape", [4, 5, 4097]), ("shape", [4, 5, 0]),
        ("shape", [4.0, 5, 6]), ("dtype", "|O"), ("dtype", []), ("valid", [0, 5]),
        ("valid", [-1, 4]), ("valid", [4, 4]), ("valid", [0, 4, 5]), ("record_bytes", -1),
        ("record_bytes", 2**40), ("record_crc32", "0"), ("notes", "float32"),
        ("notes", ["\x1b[2J"]),
    ],
)  # fmt: skip
def test_a_field_of_the_wrong_kind_or_range_is_refused(name: str, value: Any) -> None:
    assert not is_sound_entry(OK | {name: value})


@pytest.mark.parametrize(
    "entry",
    [DROPPED | {"depth": "3"}, FAILED | {"code": "E_OTHER"}, FAILED | {"code": []},
     FAILED | {"message": "two\nlines"}, [OK], None],
)  # fmt: skip
def test_other_entries_of_the_wrong_form_are_refused(entry: object) -> None:
    assert not is_sound_entry(entry)
