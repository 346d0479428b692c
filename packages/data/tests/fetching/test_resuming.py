"""A download that was cut goes on from its last byte, or from its first: never a mixture."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Bytes = Callable[[Path], dict[str, bytes]]


@pytest.mark.parametrize("cut", [0, 1, 511, 777_777, -1])
def test_a_download_that_broke_off_goes_on_from_that_byte(
    cut: int, server: Any, tiny: Path, tmp_path: Path, folder_bytes: Bytes
) -> None:
    cut %= len(server.data)
    server.cuts = [cut]
    server.fetch(tmp_path)
    assert folder_bytes(tmp_path / "Tiny") == folder_bytes(tiny)
    first, second = server.log
    assert first == {"range": None, "if-range": None}
    ranged = {"range": f"bytes={cut}-", "if-range": '"one"'}
    assert second == (ranged if cut else first)


def test_many_cuts_are_no_reason_to_give_up_as_long_as_bytes_come(
    server: Any, tmp_path: Path
) -> None:
    server.cuts = [100_000] * 15  # patience is for three attempts without a byte
    server.fetch(tmp_path)
    assert len(server.log) == 16


def test_a_second_fetch_goes_on_where_the_first_gave_up(server: Any, tmp_path: Path) -> None:
    kept = server.break_off(tmp_path)
    server.fetch(tmp_path)
    assert server.log == [{"range": f"bytes={kept}-", "if-range": '"one"'}]
    assert server.listing(tmp_path) == ["Tiny"]


def test_a_part_that_is_whole_is_not_asked_for_again(server: Any, tmp_path: Path) -> None:
    server.break_off(tmp_path)
    (tmp_path / "Tiny.tar.part").write_bytes(server.data)  # as killed just before its renaming
    server.fetch(tmp_path)
    assert server.log == []


def test_a_server_without_ranges_sends_all_of_it_again(server: Any, tmp_path: Path) -> None:
    server.takes_ranges = False
    server.cuts = [500_000]
    server.fetch(tmp_path)
    assert len(server.log) == 2


@pytest.mark.parametrize("checks_ranges", [True, False])
def test_a_file_that_changed_meanwhile_is_never_mixed(
    checks_ranges: bool, server: Any, tmp_path: Path
) -> None:
    kept = server.break_off(tmp_path)
    changed = bytearray(server.data)
    at = changed.index(b"Synthetic abdominal")
    changed[at : at + 9] = b"Different"
    server.data, server.headers = bytes(changed), {"ETag": '"two"'}
    server.checks_ranges = checks_ranges
    server.fetch(tmp_path)
    assert server.log[0] == {"range": f"bytes={kept}-", "if-range": '"one"'}
    assert b"Different abdominal" in (tmp_path / "Tiny" / "dataset.json").read_bytes()


def test_a_file_of_another_length_is_never_mixed(server: Any, tmp_path: Path) -> None:
    server.break_off(tmp_path)
    server.data += bytes(512)
    server.fetch(tmp_path)
    assert [entry["range"] for entry in server.log] == ["bytes=1000000-", None]


@pytest.mark.parametrize(
    ("headers", "resumes"),
    [
        ({"Last-Modified": "Mon, 01 Jan 2024 00:00:00 GMT"}, True),
        ({"ETag": 'W/"weak"', "Last-Modified": "Mon, 01 Jan 2024 00:00:00 GMT"}, True),
        ({"ETag": 'W/"weak"'}, False),
        ({}, False),
    ],
)
def test_a_date_will_do_and_without_it_all_is_loaded_again(
    headers: dict[str, str], resumes: bool, server: Any, tmp_path: Path
) -> None:
    server.headers, server.cuts = headers, [1000]
    server.fetch(tmp_path)
    assert server.log[1]["if-range"] == (headers["Last-Modified"] if resumes else None)
    assert server.log[1]["range"] == ("bytes=1000-" if resumes else None)


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b'{"url": 1, "size": 2, "validator": 3}'])
def test_a_part_whose_announcement_is_damaged_is_loaded_again(
    text: bytes, server: Any, tmp_path: Path
) -> None:
    server.break_off(tmp_path)
    (tmp_path / "Tiny.tar.part.json").write_bytes(text)
    server.fetch(tmp_path)
    assert server.log == [{"range": None, "if-range": None}]


def test_a_rest_that_is_longer_than_announced_is_thrown_away(server: Any, tmp_path: Path) -> None:
    server.break_off(tmp_path)
    server.tail, server.lengths = bytes(100), [len(server.data) - 10**6 + 100]
    server.fetch(tmp_path)
    assert [entry["range"] for entry in server.log] == ["bytes=1000000-", None]


def test_a_rest_that_is_shorter_than_announced_is_asked_for_again(
    server: Any, tmp_path: Path
) -> None:
    server.break_off(tmp_path)
    server.lengths = server.cuts = [5000]
    server.fetch(tmp_path)
    assert [entry["range"] for entry in server.log] == ["bytes=1000000-", "bytes=1005000-"]
