from __future__ import annotations

import gc
import hashlib
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tomolift.training import ConfigError
from tomolift.training._source import cache_folder, check_weights, fetch_weights, obtain_source

CONTENT = b"weights" * 1000
SHA256 = hashlib.sha256(CONTENT).hexdigest()

# requests leaves its socket to the garbage collector where a download fails.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.fixture(autouse=True)
def collect_sockets() -> Iterator[None]:
    yield
    gc.collect()


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    folder = tmp_path / "served"
    folder.mkdir()
    (folder / "resnet18.pth").write_bytes(CONTENT)
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder))) as http:
        thread = threading.Thread(target=http.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{http.server_port}"
        http.shutdown()
        thread.join()


def test_a_download_is_kept_and_not_fetched_twice(server: str, tmp_path: Path) -> None:
    url, folder = f"{server}/resnet18.pth", tmp_path / "kept"
    path = fetch_weights(url, SHA256, folder)
    assert path.read_bytes() == CONTENT
    (tmp_path / "served" / "resnet18.pth").unlink()
    assert fetch_weights(url, SHA256, folder) == path


def test_a_download_with_another_checksum_leaves_nothing(server: str, tmp_path: Path) -> None:
    folder = tmp_path / "kept"
    with pytest.raises(ConfigError, match=r"cannot be fetched.*pass --weights resnet18.pth"):
        fetch_weights(f"{server}/resnet18.pth", "0" * 64, folder)
    assert not list(folder.glob("*"))


@pytest.mark.parametrize("name", ["absent.pth"])
def test_a_server_that_says_no_is_one_line(server: str, tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match="download it by hand") as caught:
        fetch_weights(f"{server}/{name}", SHA256, tmp_path / "kept")
    assert "\n" not in str(caught.value)


def test_no_server_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be fetched"):
        fetch_weights("http://127.0.0.1:9/resnet18.pth", SHA256, tmp_path)


def test_missing_weights_name_the_choices(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="a checkpoint, procedural or imagenet"):
        check_weights("")
    with pytest.raises(ConfigError, match=r"none\.pth: no such weights file"):
        obtain_source(str(tmp_path / "none.pth"), say=print)


def test_a_file_is_taken_as_it_is_with_its_digest(tmp_path: Path) -> None:
    path = tmp_path / "mine.pth"
    path.write_bytes(CONTENT)
    source = obtain_source(str(path), say=print)
    assert (source.path, source.sha256, source.origin) == (path, SHA256, "mine.pth")


def test_the_cache_folder_can_be_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TOMOLIFT_CACHE", str(tmp_path))
    assert cache_folder() == tmp_path
    monkeypatch.delenv("TOMOLIFT_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "tomolift"
