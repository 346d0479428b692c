"""What a fetch makes, checks, accepts and refuses."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tomolift.data import BadInput, fetch_task
from tomolift.data._msd_tasks import MSD_ARCHIVES, MsdArchive

Bytes = Callable[[Path], dict[str, bytes]]


def test_the_table_names_ten_tasks_over_https_with_an_md5_each() -> None:
    assert [name[:6] for name in MSD_ARCHIVES] == [f"Task{number:02d}" for number in range(1, 11)]
    for name, published in MSD_ARCHIVES.items():
        assert published.url.startswith("https://")
        assert published.url.endswith(f"/{name}.tar")
        assert len(bytes.fromhex(published.md5)) == 16
    assert len({published.md5 for published in MSD_ARCHIVES.values()}) == 10


def test_a_task_is_downloaded_checked_and_unpacked(
    server: Any, tiny: Path, tmp_path: Path, folder_bytes: Bytes
) -> None:
    report = server.fetch(tmp_path / "data")
    assert folder_bytes(tmp_path / "data" / "Tiny") == folder_bytes(tiny)
    assert server.listing(tmp_path / "data") == ["Tiny"]
    assert report.cases == 1
    assert report.digests is not None
    assert report.digests.sha256 == server.sha256
    assert report.digests.md5 == hashlib.md5(server.data).hexdigest()
    assert server.log == [{"range": None, "if-range": None}]


def test_the_archive_is_kept_on_request_and_used_the_next_time(
    server: Any, tiny: Path, tmp_path: Path, folder_bytes: Bytes
) -> None:
    report = server.fetch(tmp_path, keep_archive=True)
    assert report.archive == tmp_path / "Tiny.tar"
    assert report.archive.read_bytes() == server.data
    (tmp_path / "Tiny").rename(tmp_path / "Other")
    server.fetch(tmp_path)
    assert folder_bytes(tmp_path / "Tiny") == folder_bytes(tiny)
    assert server.listing(tmp_path) == ["Other", "Tiny", "Tiny.tar"]
    assert len(server.log) == 1


def test_a_task_that_is_there_is_looked_at_and_nothing_is_loaded(
    server: Any, tmp_path: Path
) -> None:
    server.fetch(tmp_path)
    report = server.fetch(tmp_path)
    assert (report.cases, report.digests) == (1, None)
    assert len(server.log) == 1


def test_a_task_that_is_there_with_a_file_less_is_told(server: Any, tmp_path: Path) -> None:
    server.fetch(tmp_path)
    next((tmp_path / "Tiny" / "labelsTr").iterdir()).unlink()
    line = server.refusal(tmp_path, "E_MISSING")
    assert f"remove or rename {tmp_path / 'Tiny'} and fetch again" in line


@pytest.mark.parametrize("kind", ["file", "link"])
def test_what_stands_in_the_way_is_told_before_anything_is_loaded(
    kind: str, server: Any, tmp_path: Path
) -> None:
    if kind == "file":
        (tmp_path / "Tiny").touch()
    else:
        (tmp_path / "Tiny").symlink_to("nowhere")
    server.refusal(tmp_path, "E_ARGUMENT")
    assert server.log == []


def test_an_archive_with_a_wrong_checksum_is_removed(server: Any, tmp_path: Path) -> None:
    line = server.refusal(tmp_path, "E_CHECKSUM", sha256="0" * 64)
    assert f"Tiny.tar: has SHA-256 {server.sha256}, expected {'0' * 64}; it was removed" in line
    assert server.listing(tmp_path) == []


@pytest.fixture
def published(server: Any, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    def publish(md5: str) -> None:
        monkeypatch.setitem(MSD_ARCHIVES, "Tiny", MsdArchive(server.url, md5))

    return publish


def test_a_published_archive_is_checked_by_its_md5(
    server: Any, published: Callable[[str], None], tmp_path: Path
) -> None:
    published("0" * 32)
    assert "has MD5" in server.refusal(tmp_path, "E_CHECKSUM", url=None, sha256=None)
    assert server.listing(tmp_path) == []
    published(hashlib.md5(server.data).hexdigest())
    assert "has SHA-256" in server.refusal(tmp_path, "E_CHECKSUM", url=None, sha256="f" * 64)
    assert server.fetch(tmp_path, url=None, sha256=None).cases == 1


def test_an_archive_put_there_by_hand_is_checked_and_left_where_it_is_wrong(
    server: Any, tmp_path: Path
) -> None:
    (tmp_path / "Tiny.tar").write_bytes(server.data[:-1])
    line = server.refusal(tmp_path, "E_CHECKSUM")
    assert "remove it, so that it is downloaded again" in line
    assert server.listing(tmp_path) == ["Tiny.tar"]
    (tmp_path / "Tiny.tar").write_bytes(server.data)
    assert server.fetch(tmp_path).archive == tmp_path / "Tiny.tar"
    assert server.log == []


def test_every_stage_tells_how_far_it_is(server: Any, tmp_path: Path) -> None:
    told: list[tuple[str, int, int]] = []
    server.fetch(tmp_path, progress=lambda *step: told.append(step))
    stages = [stage for stage, _, _ in told]
    assert list(dict.fromkeys(stages)) == ["downloading", "checking", "unpacking"]
    assert stages == sorted(stages, key=["downloading", "checking", "unpacking"].index)
    for stage in set(stages):
        done = [bytes_done for name, bytes_done, _ in told if name == stage]
        (total,) = {total for name, _, total in told if name == stage}
        assert done == sorted(done)
        assert done[-1] == total


def test_an_archive_that_is_no_task_leaves_no_folder(server: Any, tmp_path: Path) -> None:
    at = server.data.index(b'"training"')
    server.data = server.data[:at] + b'"draining"' + server.data[at + 10 :]
    line = server.refusal(tmp_path, "E_DATASET_JSON")
    assert "Tiny.tar: holds no usable task: dataset.json has no list 'training'" in line
    assert not (tmp_path / "Tiny").exists()


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
    options: dict[str, Any], where: str, server: Any, tmp_path: Path
) -> None:
    assert server.refusal(tmp_path, "E_ARGUMENT", **options).startswith(f"{where}: ")
    assert server.listing(tmp_path) == []


@pytest.mark.parametrize("name", ["../Tiny", "/Tiny", "", ".", "a/b"])
def test_a_name_is_no_path(name: str, server: Any, tmp_path: Path) -> None:
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
