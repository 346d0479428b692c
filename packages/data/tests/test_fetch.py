"""Fetching from a local https server that can do what servers do: break off, change, lie."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import random
import shutil
import signal
import ssl
import subprocess
import sys
import tarfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tomolift.data import BadInput, _fetch, write_phantom
from tomolift.data._disk import DiskFailure
from tomolift.data._download import Patience
from tomolift.data._fetch import FetchReport, fetch_task
from tomolift.data._files import PartFile, temporary_path
from tomolift.data._msd_tasks import MSD_ARCHIVES, MsdArchive

HASTY = Patience(connect_seconds=5, stall_seconds=0.5, back_off_seconds=(0.01, 0.01, 0.01))
Bytes = Callable[[Path], dict[str, bytes]]


@dataclass
class Server:
    """A server in the making: each list is used up from its front, one item a request."""

    address: str
    data: bytes = b""
    headers: dict[str, str] = field(default_factory=lambda: {"ETag": '"one"'})
    takes_ranges: bool = True
    checks_ranges: bool = True
    statuses: list[int] = field(default_factory=list)
    cuts: list[int] = field(default_factory=list)
    stalls: list[int] = field(default_factory=list)
    lengths: list[int] = field(default_factory=list)
    tail: bytes = b""
    redirects: dict[str, str] = field(default_factory=dict)
    log: list[dict[str, str | None]] = field(default_factory=list)
    released: threading.Event = field(default_factory=threading.Event)

    @property
    def url(self) -> str:
        return f"{self.address}/Tiny.tar?token=secret"

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.data).hexdigest()


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        script: Server = self.server.script  # type: ignore[attr-defined]
        wanted = self.headers["Range"]
        script.log.append({"range": wanted, "if-range": self.headers["If-Range"]})
        if target := script.redirects.get(self.path.partition("?")[0]):
            self.send_response(302)
            self.send_header("Location", target)
            self.end_headers()
        elif script.statuses and (status := script.statuses.pop(0)) != 200:
            self.send_error(status)
        else:
            self._send(script, wanted)

    def _send(self, script: Server, wanted: str | None) -> None:
        start = 0
        same = self.headers["If-Range"] in (*script.headers.values(), None)
        if wanted and script.takes_ranges and (same or not script.checks_ranges):
            start = int(wanted.removeprefix("bytes=").removesuffix("-"))
        total = len(script.data)
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{total - 1}/{total}")
        length = script.lengths.pop(0) if script.lengths else total - start
        if length >= 0:
            self.send_header("Content-Length", str(length))
        for name, value in script.headers.items():
            self.send_header(name, value)
        self.end_headers()
        end = start + script.cuts.pop(0) if script.cuts else total
        pause = start + script.stalls.pop(0) if script.stalls else end
        self.wfile.write(script.data[start : min(end, pause)])
        if pause < end:
            self.wfile.flush()
            script.released.wait(30)
            self.wfile.write(script.data[pause:end])
        self.wfile.write(script.tail)

    def log_message(self, *arguments: Any) -> None:
        pass


class Quiet(ThreadingHTTPServer):
    def handle_error(self, *arguments: Any) -> None:
        """Clients that hang up, or refuse the certificate, are what is tested."""


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A key and a certificate for localhost that it has signed itself, made for this run."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not there to make a certificate with")
    path = tmp_path_factory.mktemp("certificate") / "both.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
         "-nodes", "-days", "2", "-subj", "/CN=localhost", "-addext",
         "subjectAltName=DNS:localhost", "-keyout", path, "-out", path.with_name("public.pem")],
        check=True, capture_output=True,
    )  # fmt: skip
    path.write_bytes(path.read_bytes() + path.with_name("public.pem").read_bytes())
    return path


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A task of one case, with a text of 2 MB that makes its archive take a moment."""
    folder = tmp_path_factory.mktemp("task") / "Tiny"
    write_phantom(folder, cases=1, size=16, depth=8)
    (folder / "NOTES.txt").write_bytes(random.Random(0).randbytes(2 * 10**6))
    return folder


@pytest.fixture(scope="module")
def archive(task: Path) -> bytes:
    path = task.with_name("Tiny.tar")
    with tarfile.open(path, "w") as tar:
        tar.add(task, task.name)
    return path.read_bytes()


@pytest.fixture
def server(certificate: Path, archive: bytes, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate.with_name("public.pem")))
    monkeypatch.setenv("NO_PROXY", "localhost")
    with Quiet(("localhost", 0), Handler) as httpd:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        httpd.socket = context.wrap_socket(httpd.socket, server_side=True)
        script = Server(f"https://localhost:{httpd.server_port}", archive)
        httpd.script = script  # type: ignore[attr-defined]
        thread = threading.Thread(target=httpd.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield script
        finally:
            script.released.set()
            httpd.shutdown()
            thread.join()


def fetch(server: Server, out_dir: Path, **options: Any) -> FetchReport:
    defaults: dict[str, Any] = {"url": server.url, "sha256": server.sha256, "patience": HASTY}
    return fetch_task("Tiny", out_dir, **(defaults | options))


def refusal(server: Server, out_dir: Path, code: str, **options: Any) -> str:
    with pytest.raises(BadInput) as raised:
        fetch(server, out_dir, **options)
    assert raised.value.code == code
    assert "secret" not in str(raised.value)
    return str(raised.value)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_the_table_names_ten_tasks_over_https_with_an_md5_each() -> None:
    assert [name[:6] for name in MSD_ARCHIVES] == [f"Task{number:02d}" for number in range(1, 11)]
    for name, published in MSD_ARCHIVES.items():
        assert published.url.startswith("https://")
        assert published.url.endswith(f"/{name}.tar")
        assert len(bytes.fromhex(published.md5)) == 16
    assert len({published.md5 for published in MSD_ARCHIVES.values()}) == 10


def test_a_task_is_downloaded_checked_and_unpacked(
    server: Server, task: Path, tmp_path: Path, folder_bytes: Bytes
) -> None:
    report = fetch(server, tmp_path / "data")
    assert folder_bytes(tmp_path / "data" / "Tiny") == folder_bytes(task)
    assert names(tmp_path / "data") == ["Tiny"]
    assert report.cases == 1
    assert report.digests is not None
    assert report.digests.sha256 == server.sha256
    assert report.digests.md5 == hashlib.md5(server.data).hexdigest()
    assert server.log == [{"range": None, "if-range": None}]


def test_the_archive_is_kept_on_request_and_used_the_next_time(
    server: Server, task: Path, tmp_path: Path, folder_bytes: Bytes
) -> None:
    report = fetch(server, tmp_path, keep_archive=True)
    assert report.archive == tmp_path / "Tiny.tar"
    assert report.archive.read_bytes() == server.data
    (tmp_path / "Tiny").rename(tmp_path / "Other")
    fetch(server, tmp_path)
    assert folder_bytes(tmp_path / "Tiny") == folder_bytes(task)
    assert names(tmp_path) == ["Other", "Tiny", "Tiny.tar"]
    assert len(server.log) == 1


def test_a_task_that_is_there_is_looked_at_and_nothing_is_loaded(
    server: Server, tmp_path: Path
) -> None:
    fetch(server, tmp_path)
    report = fetch(server, tmp_path)
    assert (report.cases, report.digests) == (1, None)
    assert len(server.log) == 1


def test_a_task_that_is_there_with_a_file_less_is_told(server: Server, tmp_path: Path) -> None:
    fetch(server, tmp_path)
    next((tmp_path / "Tiny" / "labelsTr").iterdir()).unlink()
    line = refusal(server, tmp_path, "E_MISSING")
    assert f"remove or rename {tmp_path / 'Tiny'} and fetch again" in line


@pytest.mark.parametrize("kind", ["file", "link"])
def test_what_stands_in_the_way_is_told_before_anything_is_loaded(
    kind: str, server: Server, tmp_path: Path
) -> None:
    if kind == "file":
        (tmp_path / "Tiny").touch()
    else:
        (tmp_path / "Tiny").symlink_to("nowhere")
    refusal(server, tmp_path, "E_ARGUMENT")
    assert server.log == []


@pytest.mark.parametrize("cut", [0, 1, 511, 777_777, -1])
def test_a_download_that_broke_off_goes_on_from_that_byte(
    cut: int, server: Server, task: Path, tmp_path: Path, folder_bytes: Bytes
) -> None:
    cut %= len(server.data)
    server.cuts = [cut]
    fetch(server, tmp_path)
    assert folder_bytes(tmp_path / "Tiny") == folder_bytes(task)
    first, second = server.log
    assert first == {"range": None, "if-range": None}
    ranged = {"range": f"bytes={cut}-", "if-range": '"one"'}
    assert second == (ranged if cut else first)


def test_many_cuts_are_no_reason_to_give_up_as_long_as_bytes_come(
    server: Server, tmp_path: Path
) -> None:
    server.cuts = [100_000] * 15  # patience is for three attempts without a byte
    fetch(server, tmp_path)
    assert len(server.log) == 16


def interrupted(server: Server, out_dir: Path) -> int:
    """Break a fetch off for good; return how many bytes are kept."""
    server.cuts, server.statuses = [10**6], [200, 503, 503, 503]
    line = refusal(server, out_dir, "E_DOWNLOAD")
    assert "is answered by 503 Service Unavailable, 4 times in a row" in line
    assert "1000000 bytes are kept" in line
    assert names(out_dir) == ["Tiny.tar.part", "Tiny.tar.part.json"]
    assert b"secret" not in (out_dir / "Tiny.tar.part.json").read_bytes()
    server.log.clear()
    return (out_dir / "Tiny.tar.part").stat().st_size


def test_a_second_fetch_goes_on_where_the_first_gave_up(server: Server, tmp_path: Path) -> None:
    kept = interrupted(server, tmp_path)
    fetch(server, tmp_path)
    assert server.log == [{"range": f"bytes={kept}-", "if-range": '"one"'}]
    assert names(tmp_path) == ["Tiny"]


def test_a_part_that_is_whole_is_not_asked_for_again(server: Server, tmp_path: Path) -> None:
    interrupted(server, tmp_path)
    (tmp_path / "Tiny.tar.part").write_bytes(server.data)  # as killed just before its renaming
    fetch(server, tmp_path)
    assert server.log == []


def test_a_server_without_ranges_sends_all_of_it_again(server: Server, tmp_path: Path) -> None:
    server.takes_ranges = False
    server.cuts = [500_000]
    fetch(server, tmp_path)
    assert len(server.log) == 2


@pytest.mark.parametrize("checks_ranges", [True, False])
def test_a_file_that_changed_meanwhile_is_never_mixed(
    checks_ranges: bool, server: Server, tmp_path: Path
) -> None:
    kept = interrupted(server, tmp_path)
    changed = bytearray(server.data)
    at = changed.index(b"Synthetic abdominal")
    changed[at : at + 9] = b"Different"
    server.data, server.headers = bytes(changed), {"ETag": '"two"'}
    server.checks_ranges = checks_ranges
    fetch(server, tmp_path)
    assert server.log[0] == {"range": f"bytes={kept}-", "if-range": '"one"'}
    assert b"Different abdominal" in (tmp_path / "Tiny" / "dataset.json").read_bytes()


def test_a_file_of_another_length_is_never_mixed(server: Server, tmp_path: Path) -> None:
    interrupted(server, tmp_path)
    server.data += bytes(512)
    fetch(server, tmp_path)
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
    headers: dict[str, str], resumes: bool, server: Server, tmp_path: Path
) -> None:
    server.headers, server.cuts = headers, [1000]
    fetch(server, tmp_path)
    assert server.log[1]["if-range"] == (headers["Last-Modified"] if resumes else None)
    assert server.log[1]["range"] == ("bytes=1000-" if resumes else None)


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b'{"url": 1, "size": 2, "validator": 3}'])
def test_a_part_whose_announcement_is_damaged_is_loaded_again(
    text: bytes, server: Server, tmp_path: Path
) -> None:
    interrupted(server, tmp_path)
    (tmp_path / "Tiny.tar.part.json").write_bytes(text)
    fetch(server, tmp_path)
    assert server.log == [{"range": None, "if-range": None}]


def test_an_archive_with_a_wrong_checksum_is_removed(server: Server, tmp_path: Path) -> None:
    line = refusal(server, tmp_path, "E_CHECKSUM", sha256="0" * 64)
    assert f"Tiny.tar: has SHA-256 {server.sha256}, expected {'0' * 64}; it was removed" in line
    assert names(tmp_path) == []


@pytest.fixture
def published(server: Server, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    def publish(md5: str) -> None:
        monkeypatch.setitem(MSD_ARCHIVES, "Tiny", MsdArchive(server.url, md5))

    return publish


def test_a_published_archive_is_checked_by_its_md5(
    server: Server, published: Callable[[str], None], tmp_path: Path
) -> None:
    published("0" * 32)
    assert "has MD5" in refusal(server, tmp_path, "E_CHECKSUM", url=None, sha256=None)
    assert names(tmp_path) == []
    published(hashlib.md5(server.data).hexdigest())
    assert "has SHA-256" in refusal(server, tmp_path, "E_CHECKSUM", url=None, sha256="f" * 64)
    assert fetch(server, tmp_path, url=None, sha256=None).cases == 1


def test_an_archive_put_there_by_hand_is_checked_and_left_where_it_is_wrong(
    server: Server, tmp_path: Path
) -> None:
    (tmp_path / "Tiny.tar").write_bytes(server.data[:-1])
    line = refusal(server, tmp_path, "E_CHECKSUM")
    assert "remove it, so that it is downloaded again" in line
    assert names(tmp_path) == ["Tiny.tar"]
    (tmp_path / "Tiny.tar").write_bytes(server.data)
    assert fetch(server, tmp_path).archive == tmp_path / "Tiny.tar"
    assert server.log == []


def test_a_missing_file_is_told_at_once(server: Server, tmp_path: Path) -> None:
    server.statuses = [404]
    line = refusal(server, tmp_path, "E_DOWNLOAD")
    assert f"{server.address}/Tiny.tar: is answered by 404 Not Found" in line
    assert len(server.log) == 1


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_an_error_of_the_server_that_passes_is_waited_for(
    status: int, server: Server, tmp_path: Path
) -> None:
    server.statuses = [status, status]
    fetch(server, tmp_path)
    assert len(server.log) == 3


def test_waiting_grows_and_ends(server: Server, tmp_path: Path, monkeypatch: Any) -> None:
    waited: list[float] = []
    monkeypatch.setattr(time, "sleep", waited.append)
    server.statuses = [500] * 9
    patience = Patience(back_off_seconds=(1, 2, 4))
    refusal(server, tmp_path, "E_DOWNLOAD", patience=patience)
    assert waited == [1, 2, 4]
    assert len(server.log) == 4


def test_a_server_that_is_not_there_is_told(server: Server, tmp_path: Path) -> None:
    line = refusal(server, tmp_path, "E_DOWNLOAD", url="https://localhost:9/Tiny.tar")
    assert "cannot be reached ([Errno 111] Connection refused), 4 times in a row" in line


def test_a_connection_that_stalls_is_given_up_and_taken_up(server: Server, tmp_path: Path) -> None:
    server.stalls = [300_000]
    began = time.monotonic()
    fetch(server, tmp_path)
    assert time.monotonic() - began < 10
    assert len(server.log) == 2


def test_redirects_are_followed_over_https(server: Server, tmp_path: Path) -> None:
    server.redirects = {"/Tiny.tar": "/b", "/b": f"{server.address}/c"}
    fetch(server, tmp_path)
    assert len(server.log) == 3


def test_a_redirect_to_http_is_refused_without_going_there(server: Server, tmp_path: Path) -> None:
    server.redirects = {"/Tiny.tar": f"http://localhost:{server.address.rpartition(':')[2]}/b"}
    assert "expected https://" in refusal(server, tmp_path, "E_DOWNLOAD")
    assert len(server.log) == 1


def test_redirects_in_a_ring_end(server: Server, tmp_path: Path) -> None:
    server.redirects = {"/Tiny.tar": "/Tiny.tar"}
    assert "more than 5 times" in refusal(server, tmp_path, "E_DOWNLOAD")


@pytest.mark.parametrize(
    "url",
    ["http://localhost/Tiny.tar", "ftp://localhost/a", "file:///etc/passwd", "https://", "https:",
     "localhost/Tiny.tar", "https://me:secret@localhost/a", "https://[", "https://a\n/b"],
)  # fmt: skip
def test_every_address_but_a_plain_https_one_is_refused(
    url: str, server: Server, tmp_path: Path
) -> None:
    refusal(server, tmp_path, "E_ARGUMENT", url=url)
    assert server.log == []


def test_an_address_that_no_server_can_have_is_told(server: Server, tmp_path: Path) -> None:
    line = refusal(server, tmp_path, "E_DOWNLOAD", url="https://*.a/b.tar")
    assert "is not answered properly" in line


def test_a_certificate_that_nobody_vouches_for_is_refused(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("REQUESTS_CA_BUNDLE")
    line = refusal(server, tmp_path, "E_DOWNLOAD")
    assert "has no certificate that can be trusted" in line
    assert server.log == []


def test_a_length_above_the_truth_ends_in_words(server: Server, tmp_path: Path) -> None:
    server.lengths = [len(server.data) + 100] * 9
    server.takes_ranges = False
    assert "broke off" in refusal(server, tmp_path, "E_DOWNLOAD")


def test_a_length_below_the_truth_fails_the_checksum(server: Server, tmp_path: Path) -> None:
    server.lengths = [len(server.data) - 100]
    refusal(server, tmp_path, "E_CHECKSUM")
    assert names(tmp_path) == []


def test_a_rest_that_is_longer_than_announced_is_thrown_away(
    server: Server, tmp_path: Path
) -> None:
    interrupted(server, tmp_path)
    server.tail, server.lengths = bytes(100), [len(server.data) - 10**6 + 100]
    fetch(server, tmp_path)
    assert [entry["range"] for entry in server.log] == ["bytes=1000000-", None]


def test_a_rest_that_is_shorter_than_announced_is_asked_for_again(
    server: Server, tmp_path: Path
) -> None:
    interrupted(server, tmp_path)
    server.lengths = server.cuts = [5000]
    fetch(server, tmp_path)
    assert [entry["range"] for entry in server.log] == ["bytes=1000000-", "bytes=1005000-"]


def test_a_server_that_tells_no_length_is_refused(server: Server, tmp_path: Path) -> None:
    server.lengths = [-1]
    assert "does not tell how long" in refusal(server, tmp_path, "E_DOWNLOAD")


def test_a_file_that_is_encoded_on_its_way_is_refused(server: Server, tmp_path: Path) -> None:
    server.headers |= {"Content-Encoding": "gzip"}
    assert "encoded as gzip" in refusal(server, tmp_path, "E_DOWNLOAD")


def test_a_file_that_is_too_long_is_refused_before_it_is_loaded(
    server: Server, tmp_path: Path
) -> None:
    line = refusal(server, tmp_path, "E_DOWNLOAD", patience=Patience(max_bytes=1000))
    assert f"has {len(server.data)} bytes, at most 1000 are loaded" in line
    assert (tmp_path / "Tiny.tar.part").stat().st_size == 0


def test_room_for_archive_and_contents_is_asked_for_before_loading(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Disk:
        f_bavail, f_frsize = 2 * len(server.data) - 1, 1

    with monkeypatch.context() as patch:
        patch.setattr(os, "statvfs", lambda path: Disk)
        assert f"{2 * len(server.data)} are needed" in refusal(server, tmp_path, "E_SPACE")
    assert (tmp_path / "Tiny.tar.part").stat().st_size == 0


def test_a_disk_that_fills_up_is_one_line_and_the_next_fetch_goes_on(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    append = PartFile.append

    def full(part: PartFile, data: bytes) -> None:
        if part.size > 500_000:
            raise OSError(errno.ENOSPC, "No space left on device")
        append(part, data)

    with monkeypatch.context() as patch:
        patch.setattr(PartFile, "append", full)
        with pytest.raises(DiskFailure, match="No space left on device") as raised:
            fetch(server, tmp_path)
    assert "\n" not in str(raised.value)
    fetch(server, tmp_path)
    assert int(str(server.log[1]["range"])[6:-1]) > 500_000


def test_a_disk_that_fills_up_while_unpacking_leaves_the_checked_archive(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*arguments: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "posix_fallocate", full)
        with pytest.raises(DiskFailure):
            fetch(server, tmp_path)
    assert "Tiny.tar" in names(tmp_path)
    assert not (tmp_path / "Tiny").exists()
    fetch(server, tmp_path)
    assert names(tmp_path) == ["Tiny"]
    assert len(server.log) == 1


def test_two_fetches_do_not_write_one_file(server: Server, tmp_path: Path) -> None:
    with PartFile(tmp_path / "Tiny.tar.part"):
        line = refusal(server, tmp_path, "E_DOWNLOAD")
    assert "is being written by another process; wait for it" in line
    assert server.log == []


def test_a_fetch_that_comes_second_uses_what_the_first_has_finished(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def late(path: Path) -> PartFile:
        (tmp_path / "Tiny.tar").write_bytes(server.data)
        return PartFile(path)

    monkeypatch.setattr(_fetch, "PartFile", late)
    fetch(server, tmp_path)
    assert names(tmp_path) == ["Tiny", "Tiny.tar"]
    assert server.log == []


def test_a_part_that_was_renamed_meanwhile_is_not_written_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flock = fcntl.flock

    def renamed_meanwhile(descriptor: int, operation: int) -> None:
        (tmp_path / "a.part").rename(tmp_path / "a")
        flock(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", renamed_meanwhile)
    with pytest.raises(BlockingIOError):
        PartFile(tmp_path / "a.part")


def test_a_disk_without_locks_is_no_reason_not_to_fetch(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unlockable(descriptor: int, operation: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", unlockable)
    assert fetch(server, tmp_path).cases == 1


def test_every_stage_tells_how_far_it_is(server: Server, tmp_path: Path) -> None:
    told: list[tuple[str, int, int]] = []
    fetch(server, tmp_path, progress=lambda *step: told.append(step))
    stages = [stage for stage, _, _ in told]
    assert list(dict.fromkeys(stages)) == ["downloading", "checking", "unpacking"]
    assert stages == sorted(stages, key=["downloading", "checking", "unpacking"].index)
    for stage in set(stages):
        done = [bytes_done for name, bytes_done, _ in told if name == stage]
        (total,) = {total for name, _, total in told if name == stage}
        assert done == sorted(done)
        assert done[-1] == total


def test_an_archive_that_is_no_task_leaves_no_folder(server: Server, tmp_path: Path) -> None:
    at = server.data.index(b'"training"')
    server.data = server.data[:at] + b'"draining"' + server.data[at + 10 :]
    line = refusal(server, tmp_path, "E_DATASET_JSON")
    assert "Tiny.tar: holds no usable task: dataset.json has no list 'training'" in line
    assert not (tmp_path / "Tiny").exists()


@pytest.mark.parametrize("stall", [0, 1_200_000])
def test_a_killed_fetch_goes_on_and_leaves_nothing_behind(
    stall: int, server: Server, task: Path, tmp_path: Path, folder_bytes: Bytes
) -> None:
    server.stalls = [stall]
    command = [sys.executable, "-m", "tomolift.data", "fetch", "Tiny", str(tmp_path / "data")]
    with subprocess.Popen([*command, "--url", server.url, "--sha256", server.sha256]) as process:
        part = tmp_path / "data" / "Tiny.tar.part"
        deadline = time.monotonic() + 60
        while not server.log or not part.exists() or part.stat().st_size < stall - 2**18:
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
    kept = part.stat().st_size
    assert names(tmp_path / "data") in (
        ["Tiny.tar.part"], ["Tiny.tar.part", "Tiny.tar.part.json"],
    )  # fmt: skip
    fetch(server, tmp_path / "data")
    assert server.log[1]["range"] == (f"bytes={kept}-" if kept else None)
    assert folder_bytes(tmp_path / "data" / "Tiny") == folder_bytes(task)
    assert names(tmp_path / "data") == ["Tiny"]


def test_what_a_killed_unpacking_left_is_removed(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with subprocess.Popen(["true"]) as dead:
        pass
    monkeypatch.setattr(os, "getpid", lambda: dead.pid)
    left = temporary_path(tmp_path, "Tiny")
    monkeypatch.undo()
    other = temporary_path(tmp_path, "Tiny")  # of this process, which lives
    for folder in (left, other):
        (folder / "imagesTr").mkdir(parents=True)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "")
    (tmp_path / "Tiny.tar").write_bytes(server.data)
    fetch(server, tmp_path)
    assert names(tmp_path) == sorted(["Tiny", "Tiny.tar", other.name])


@pytest.mark.parametrize("keep", [False, True])
def test_a_fetch_stopped_at_its_very_end_is_tidied_up_by_the_next(
    keep: bool, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(*arguments: Any, **options: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(_fetch, "_tidy", stopped)
        with pytest.raises(KeyboardInterrupt):
            fetch(server, tmp_path)
    assert names(tmp_path) == ["Tiny", "Tiny.tar", "Tiny.tar.part.json"]
    fetch(server, tmp_path, keep_archive=keep)
    assert names(tmp_path) == (["Tiny", "Tiny.tar"] if keep else ["Tiny"])
    fetch(server, tmp_path)  # and what was kept stays
    assert names(tmp_path) == (["Tiny", "Tiny.tar"] if keep else ["Tiny"])


def test_an_archive_put_beside_an_unfinished_part_stays(server: Server, tmp_path: Path) -> None:
    interrupted(server, tmp_path)
    (tmp_path / "Tiny.tar").write_bytes(server.data)
    fetch(server, tmp_path)
    assert names(tmp_path) == ["Tiny", "Tiny.tar"]
    assert server.log == []


def test_a_part_that_another_process_loads_is_not_tidied_up(server: Server, tmp_path: Path) -> None:
    fetch(server, tmp_path)
    with PartFile(tmp_path / "Tiny.tar.part"):
        fetch(server, tmp_path)
        assert names(tmp_path) == ["Tiny", "Tiny.tar.part"]
    fetch(server, tmp_path)
    assert names(tmp_path) == ["Tiny"]


@pytest.mark.parametrize(
    ("options", "where"),
    [
        ({"url": None}, "name"),
        ({"sha256": None}, "sha256"),
        ({"sha256": "abc"}, "sha256"),
        ({"sha256": "g" * 64}, "sha256"),
    ],
)
def test_arguments_that_do_not_fit_are_told(
    options: dict[str, Any], where: str, server: Server, tmp_path: Path
) -> None:
    assert refusal(server, tmp_path, "E_ARGUMENT", **options).startswith(f"{where}: ")
    assert names(tmp_path) == []


@pytest.mark.parametrize("name", ["../Tiny", "/Tiny", "", ".", "a/b"])
def test_a_name_is_no_path(name: str, server: Server, tmp_path: Path) -> None:
    with pytest.raises(BadInput) as raised:
        fetch_task(name, tmp_path, url=server.url, sha256=server.sha256)
    assert raised.value.code == "E_ARGUMENT"
    assert server.log == []


def test_without_requests_the_cure_is_told(tmp_path: Path) -> None:
    script = (
        "import sys; sys.modules['requests'] = None\n"
        "from tomolift.data.__main__ import main\n"
        f"sys.exit(main(['fetch', 'Task02_Heart', {str(tmp_path)!r}]))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr == (
        'tomolift data: error: requests: is not installed; pip install "tomolift-data[fetch]", '
        "or put Task02_Heart.tar there by other means [E_ARGUMENT]\n"
    )
