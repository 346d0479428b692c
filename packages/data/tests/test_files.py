from __future__ import annotations

import errno
import fcntl
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from tomolift.data._files import append_durably, locked, owner_of, remove_stale, this_machine


def temporary_of(process: int | str, *, host: str | None = None) -> str:
    return f"a.{host or this_machine()}.{process}.01234567.tmp"


def test_a_zombie_counts_as_dead_because_it_cannot_write(tmp_path: Path) -> None:
    child = os.posix_spawn("/bin/true", ["true"], {})
    try:
        os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
        assert Path("/proc", str(child)).exists()
        left = tmp_path / temporary_of(child)
        left.touch()
        remove_stale(tmp_path)
        assert not left.exists()
    finally:
        os.waitpid(child, 0)


def test_a_process_of_another_container_of_the_same_name_is_not_asked_for(tmp_path: Path) -> None:
    host, _, namespace = this_machine().rpartition("-")
    left = tmp_path / temporary_of(4194304, host=f"{host}-{int(namespace, 16) + 1:x}")
    left.touch()
    remove_stale(tmp_path)
    assert left.exists()  # its number means another process there, which may live


def test_owners_of_temporary_files_are_told_apart() -> None:
    assert owner_of(temporary_of(os.getpid())) == f"process {os.getpid()}"
    assert owner_of(temporary_of(4194304)) == "a dead process"  # above Linux's largest number
    assert owner_of(temporary_of(1, host="elsewhere")) == "machine elsewhere"
    assert owner_of("thesis.tmp") == ""


def test_a_line_that_the_disk_takes_in_parts_is_appended_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: write(descriptor, data[:3]))
    append_durably(tmp_path / "journal", b"0123456789\n")
    assert (tmp_path / "journal").read_bytes() == b"0123456789\n"


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.ENOTSUP, errno.ENOLCK])
def test_a_file_system_without_locks_is_built_on_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def refused(*arguments: Any) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", refused)
    with locked(tmp_path / "lock"):
        pass
    with pytest.raises(OSError, match=os.strerror(number)):  # noqa: SIM117 - one at a time
        with locked(tmp_path / "lock", courtesy=False):
            pass


def test_shared_holders_of_a_lock_do_not_wait_for_each_other(tmp_path: Path) -> None:
    done = []

    def hold() -> None:
        with locked(tmp_path / "lock", shared=True):
            done.append(True)

    with locked(tmp_path / "lock", shared=True):
        other = threading.Thread(target=hold)
        other.start()
        other.join(timeout=10)
    assert done == [True]


def test_a_lock_that_another_process_holds_is_refused_at_once_where_it_is_no_courtesy(
    tmp_path: Path,
) -> None:
    program = (
        "import fcntl, sys; file = open(sys.argv[1]);"
        "fcntl.flock(file, fcntl.LOCK_EX); print(flush=True); input()"
    )
    (tmp_path / "lock").touch()
    with subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path / "lock")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        with pytest.raises(BlockingIOError):  # noqa: SIM117 - one at a time
            with locked(tmp_path / "lock", courtesy=False):
                pass
        holder.communicate(b"\n")
