from __future__ import annotations

from pathlib import Path

from tomolift.data._files import remove_stale_folders, this_machine


def test_stale_folders_go_and_so_do_stale_files_of_what_is_named_after_them(tmp_path: Path) -> None:
    owner = f"{this_machine()}.4194304.01234567"
    folder = tmp_path / f"Task.{owner}.tmp"
    folder.mkdir()
    (folder / "dataset.json").write_bytes(b"")
    announcement = tmp_path / f"Task.tar.part.json.{owner}.tmp"
    announcement.write_bytes(b"")
    other = tmp_path / f"Other.{owner}.tmp"
    other.mkdir()
    remove_stale_folders(tmp_path, "Task")
    assert list(tmp_path.iterdir()) == [other]
