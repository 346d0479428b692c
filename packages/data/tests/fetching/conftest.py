"""A local https server that can do what servers do: break off, change, lie, fall silent."""

from __future__ import annotations

import hashlib
import random
import shutil
import ssl
import subprocess
import tarfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tomolift.data import BadInput, FetchReport, fetch_task, write_phantom
from tomolift.data._download import Patience

HASTY = Patience(connect_seconds=5, stall_seconds=0.5, back_off_seconds=(0.01, 0.01, 0.01))


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

    def fetch(self, out_dir: Path, **options: Any) -> FetchReport:
        """Fetch what is served here as the task Tiny."""
        defaults: dict[str, Any] = {"url": self.url, "sha256": self.sha256, "patience": HASTY}
        return fetch_task("Tiny", out_dir, **(defaults | options))

    def refusal(self, out_dir: Path, code: str, **options: Any) -> str:
        """Return the line that a fetch which must fail is refused with."""
        with pytest.raises(BadInput) as raised:
            self.fetch(out_dir, **options)
        assert raised.value.code == code
        assert "secret" not in str(raised.value)
        return str(raised.value)

    def break_off(self, out_dir: Path) -> int:
        """Break a fetch off for good; return how many bytes are kept."""
        self.cuts, self.statuses = [10**6], [200, 503, 503, 503]
        line = self.refusal(out_dir, "E_DOWNLOAD")
        assert "is answered by 503 Service Unavailable, 4 times in a row" in line
        assert "1000000 bytes are kept" in line
        assert self.listing(out_dir) == ["Tiny.tar.part", "Tiny.tar.part.json"]
        assert b"secret" not in (out_dir / "Tiny.tar.part.json").read_bytes()
        self.log.clear()
        return (out_dir / "Tiny.tar.part").stat().st_size

    @staticmethod
    def listing(folder: Path) -> list[str]:
        return sorted(path.name for path in folder.iterdir())


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


@pytest.fixture(scope="session")
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


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A task of one case, with a text of 2 MB that makes its archive take a moment."""
    folder = tmp_path_factory.mktemp("task") / "Tiny"
    write_phantom(folder, cases=1, size=16, depth=8)
    (folder / "NOTES.txt").write_bytes(random.Random(0).randbytes(2 * 10**6))
    return folder


@pytest.fixture(scope="session")
def archive(tiny: Path) -> bytes:
    path = tiny.with_name("Tiny.tar")
    with tarfile.open(path, "w") as tar:
        tar.add(tiny, tiny.name)
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
