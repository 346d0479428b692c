"""`tomolift data fetch` as a writer under test, against a server that is none."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import tarfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import patch

from faulting.starts import NOTHING
from faulting.states import difference, folder_bytes

from tomolift.data._cli import main as command_line

NAME = "Small"
URL = f"https://example.org/{NAME}.tar"
CHUNK_BYTES = 4096
ARCHIVE, PART = "an archive", "half a download"


class FetchWriter:
    """Runs the command: it downloads what is missing, checks, unpacks and tidies up."""

    name = "fetch"
    starts = (NOTHING, PART, ARCHIVE)

    def __init__(self, task_dir: Path, root: Path) -> None:
        root.mkdir(parents=True)
        self.root = root
        file = io.BytesIO()
        with tarfile.open(fileobj=file, mode="w") as archive:
            archive.add(task_dir, arcname=NAME)
        self._archive = file.getvalue()
        self._sha256 = hashlib.sha256(self._archive).hexdigest()
        self._whole = folder_bytes(task_dir)
        self._start = NOTHING

    def place(self, start: str) -> None:
        """Put the archive there alone, the first half of a download, or nothing."""
        self._start = start
        shutil.rmtree(self.root, ignore_errors=True)
        self.root.mkdir()
        archive = self.root / f"{NAME}.tar"
        if start == ARCHIVE:
            archive.write_bytes(self._archive)
        elif start == PART:
            part = archive.with_name(f"{archive.name}.part")
            part.write_bytes(self._archive[: len(self._archive) // 2])
            announced = {"url": URL, "size": len(self._archive), "validator": '"1"'}
            part.with_name(f"{part.name}.json").write_text(json.dumps(announced))

    def act(self) -> int:
        """Run the command line in this process."""
        source = ["--url", URL, "--sha256", self._sha256]
        with (
            patch("tomolift.data._download.get", self._get),
            patch("tomolift.data._download.body", lambda response: response.body),
            redirect_stdout(io.StringIO()),
        ):
            return command_line(["fetch", NAME, str(self.root), *source])

    def judge(self, start: str) -> str:
        """Allow no folder and the whole one."""
        folder = self.root / NAME
        return difference(folder_bytes(folder), self._whole) if folder.exists() else ""

    def is_finished(self) -> bool:
        """Return whether the folder is there."""
        return (self.root / NAME).exists()

    def rerun(self) -> str:
        """Fetch again, twice where a checksum finds that the download was torn by a power cut.

        An archive that the user put there stays.
        """
        with redirect_stderr(io.StringIO()) as said:
            status = self.act()
            if status and "[E_CHECKSUM]" in said.getvalue():
                status = self.act()
        if status:
            return f"fetched again, it ended with {status}: {said.getvalue()}"
        expected = {f"{NAME}/": b"", **{f"{NAME}/{name}": d for name, d in self._whole.items()}}
        if self._start == ARCHIVE:
            expected[f"{NAME}.tar"] = self._archive
        return difference(folder_bytes(self.root), expected)

    @contextmanager
    def _get(self, url: str, headers: Mapping[str, str], **seconds: float) -> Iterator[object]:
        """Answer like a server that knows ranges."""
        start = int(headers.get("Range", "bytes=0-")[len("bytes=") : -1])
        data, size = self._archive[start:], len(self._archive)
        answer = {"Content-Length": f"{len(data)}", "ETag": '"1"'}
        if start:
            answer["Content-Range"] = f"bytes {start}-{size - 1}/{size}"
        pieces = [data[at : at + CHUNK_BYTES] for at in range(0, len(data), CHUNK_BYTES)]
        yield SimpleNamespace(
            status_code=206 if start else 200, reason="OK", headers=answer, body=pieces
        )
