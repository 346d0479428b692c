"""`tomolift data fetch` through the training package's command."""

from __future__ import annotations

from pathlib import Path

import pytest

from tomolift.data._msd_tasks import MSD_ARCHIVES
from tomolift.training import cli


def test_the_tomolift_command_lists_what_can_be_fetched(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["data", "fetch", "--list"]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == list(MSD_ARCHIVES)


def test_the_tomolift_command_refuses_http_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--url", "http://localhost/a.tar", "--sha256", "0" * 64]
    assert cli.main(["data", "fetch", "Tiny", str(tmp_path), *options]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "expected https://" in line
    assert "[E_ARGUMENT]" in line
