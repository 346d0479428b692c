"""What servers answer: errors, redirects, lies, silence."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from tomolift.data._download import Patience


def test_a_missing_file_is_told_at_once(server: Any, tmp_path: Path) -> None:
    server.statuses = [404]
    line = server.refusal(tmp_path, "E_DOWNLOAD")
    assert f"{server.address}/Tiny.tar: is answered by 404 Not Found" in line
    assert len(server.log) == 1


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_an_error_of_the_server_that_passes_is_waited_for(
    status: int, server: Any, tmp_path: Path
) -> None:
    server.statuses = [status, status]
    server.fetch(tmp_path)
    assert len(server.log) == 3


def test_waiting_grows_and_ends(server: Any, tmp_path: Path, monkeypatch: Any) -> None:
    waited: list[float] = []
    monkeypatch.setattr(time, "sleep", waited.append)
    server.statuses = [500] * 9
    patience = Patience(back_off_seconds=(1, 2, 4))
    server.refusal(tmp_path, "E_DOWNLOAD", patience=patience)
    assert waited == [1, 2, 4]
    assert len(server.log) == 4


def test_a_server_that_is_not_there_is_told(server: Any, tmp_path: Path) -> None:
    line = server.refusal(tmp_path, "E_DOWNLOAD", url="https://localhost:9/Tiny.tar")
    assert "cannot be reached ([Errno 111] Connection refused), 4 times in a row" in line


def test_a_connection_that_stalls_is_given_up_and_taken_up(server: Any, tmp_path: Path) -> None:
    server.stalls = [300_000]
    began = time.monotonic()
    server.fetch(tmp_path)
    assert time.monotonic() - began < 10
    assert len(server.log) == 2


def test_redirects_are_followed_over_https(server: Any, tmp_path: Path) -> None:
    server.redirects = {"/Tiny.tar": "/b", "/b": f"{server.address}/c"}
    server.fetch(tmp_path)
    assert len(server.log) == 3


def test_a_redirect_to_http_is_refused_without_going_there(server: Any, tmp_path: Path) -> None:
    server.redirects = {"/Tiny.tar": f"http://localhost:{server.address.rpartition(':')[2]}/b"}
    assert "expected https://" in server.refusal(tmp_path, "E_DOWNLOAD")
    assert len(server.log) == 1


def test_redirects_in_a_ring_end(server: Any, tmp_path: Path) -> None:
    server.redirects = {"/Tiny.tar": "/Tiny.tar"}
    assert "more than 5 times" in server.refusal(tmp_path, "E_DOWNLOAD")


@pytest.mark.parametrize(
    "url",
    ["http://localhost/Tiny.tar", "ftp://localhost/a", "file:///etc/passwd", "https://", "https:",
     "localhost/Tiny.tar", "https://me:secret@localhost/a", "https://[", "https://a\n/b"],
)  # fmt: skip
def test_every_address_but_a_plain_https_one_is_refused(
    url: str, server: Any, tmp_path: Path
) -> None:
    server.refusal(tmp_path, "E_ARGUMENT", url=url)
    assert server.log == []


def test_an_address_that_no_server_can_have_is_told(server: Any, tmp_path: Path) -> None:
    line = server.refusal(tmp_path, "E_DOWNLOAD", url="https://*.a/b.tar")
    assert "is not answered properly" in line


def test_a_certificate_that_nobody_vouches_for_is_refused(
    server: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("REQUESTS_CA_BUNDLE")
    line = server.refusal(tmp_path, "E_DOWNLOAD")
    assert "has no certificate that can be trusted" in line
    assert server.log == []


def test_a_length_above_the_truth_ends_in_words(server: Any, tmp_path: Path) -> None:
    server.lengths = [len(server.data) + 100] * 9
    server.takes_ranges = False
    assert "broke off" in server.refusal(tmp_path, "E_DOWNLOAD")


def test_a_length_below_the_truth_fails_the_checksum(server: Any, tmp_path: Path) -> None:
    server.lengths = [len(server.data) - 100]
    server.refusal(tmp_path, "E_CHECKSUM")
    assert server.listing(tmp_path) == []


def test_a_server_that_tells_no_length_is_refused(server: Any, tmp_path: Path) -> None:
    server.lengths = [-1]
    assert "does not tell how long" in server.refusal(tmp_path, "E_DOWNLOAD")


def test_a_file_that_is_encoded_on_its_way_is_refused(server: Any, tmp_path: Path) -> None:
    server.headers |= {"Content-Encoding": "gzip"}
    assert "encoded as gzip" in server.refusal(tmp_path, "E_DOWNLOAD")


def test_a_file_that_is_too_long_is_refused_before_it_is_loaded(
    server: Any, tmp_path: Path
) -> None:
    line = server.refusal(tmp_path, "E_DOWNLOAD", patience=Patience(max_bytes=1000))
    assert f"has {len(server.data)} bytes, at most 1000 are loaded" in line
    assert (tmp_path / "Tiny.tar.part").stat().st_size == 0
