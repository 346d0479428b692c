"""All writing of this package: temporary file, fsync, rename, fsync of the folder."""

from __future__ import annotations

import contextlib
import errno
import glob
import mmap
import os
import re
import secrets
import shutil
import socket
import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, Self

import numpy as np
import numpy.typing as npt

from ._format import NPY_HEADER_BYTES, crc32, npy_bytes, npy_header

if sys.platform != "linux":
    raise ImportError(
        f"tomolift-data runs on Linux, not on {sys.platform}: it needs flock, posix_fallocate and "
        "/proc; use a Linux machine, container or WSL"
    )
import fcntl  # absent on Windows, where the line above says so in words

_FOLDER_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_TEMPORARY = re.compile(r".+\.(?P<host>[^.]*)\.(?P<pid>[0-9]+)\.[0-9a-f]{8}\.tmp")


def make_folder(folder: Path) -> None:
    """Create ``folder`` and its parents, durably."""
    if not folder.is_dir():
        make_folder(folder.parent)
        folder.mkdir(exist_ok=True)
        sync_folder(folder.parent)


def write_durably(path: Path, data: bytes) -> None:
    """Put ``data`` at ``path`` so that every reader, even after a power cut, sees all or none."""
    with whole_file(path) as file:
        file.write(data)


@contextlib.contextmanager
def whole_file(path: Path) -> Iterator[BinaryIO]:
    """Give a temporary file to fill, which then becomes ``path``, durably and at once, or goes."""
    temporary = temporary_path(path.parent, path.name)
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fsync(descriptor)
        publish(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def append_durably(path: Path, line: bytes) -> None:
    """Append ``line``, in one write where the disk takes it, and wait until it is on disk."""
    is_new = not path.exists()
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
    try:
        while line:  # a disk that is nearly full takes a part, and says why when asked again
            line = line[os.write(descriptor, line) :]
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    if is_new:
        sync_folder(path.parent)


def publish(temporary: Path, path: Path) -> None:
    """Rename a finished, synced file to its place, durably."""
    temporary.replace(path)
    sync_folder(path.parent)


@contextlib.contextmanager
def whole_folder(folder: Path) -> Iterator[Path]:
    """Give a temporary folder to fill, which then becomes ``folder`` (absent or empty) or goes."""
    make_folder(folder.parent)
    temporary = temporary_path(folder.parent, folder.name)
    temporary.mkdir()
    try:
        yield temporary
        publish(temporary, folder)
    except BaseException:
        if temporary.exists():
            shutil.rmtree(temporary)
        raise


@contextlib.contextmanager
def scratch_folder() -> Iterator[Path]:
    """Give a folder of the system's temporary place (``TMPDIR``), which goes afterwards."""
    with tempfile.TemporaryDirectory(prefix="tomolift-") as name:
        yield Path(name)


def remove(path: Path) -> None:
    """Remove a file if it is there, durably."""
    path.unlink(missing_ok=True)
    sync_folder(path.parent)


def remove_empty(folder: Path) -> None:
    """Remove a folder where it is there and empty."""
    try:
        folder.rmdir()
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.ENOTEMPTY, errno.EEXIST):
            raise


def sync_folder(folder: Path) -> None:
    """Make renames and removals in ``folder`` durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def temporary_path(folder: Path, name: str) -> Path:
    """Return a fresh name that tells which process of which machine owns it."""
    return folder / f"{name}.{this_machine()}.{os.getpid()}.{secrets.token_hex(4)}.tmp"


def is_temporary(name: str) -> bool:
    """Return whether ``name`` was made by :func:`temporary_path`."""
    return _TEMPORARY.fullmatch(name) is not None


def remove_stale(folder: Path, *, name: str | None = None) -> None:
    """Remove temporary files, all or those of one name, of processes of this machine that died."""
    for path in folder.glob("*.tmp" if name is None else f"{glob.escape(name)}.*.tmp"):
        if owner_of(path.name) == "a dead process" and not path.is_dir():
            path.unlink(missing_ok=True)


def this_machine() -> str:
    """Return what tells where a process number means the same process: host and PID namespace.

    Containers may share a name and not their processes.
    """
    host = socket.gethostname().partition(".")[0]
    return f"{host}-{Path('/proc/self/ns/pid').stat().st_ino:x}"


def owner_of(name: str) -> str:
    """Return who owns a temporary file: ``a dead process``, a live one, or one elsewhere, in words.

    Empty where ``name`` was not made by :func:`temporary_path`.
    """
    match = _TEMPORARY.fullmatch(name)
    if match is None:
        return ""
    if match["host"] != this_machine():
        return f"machine {match['host']}"
    return f"process {match['pid']}" if _is_alive(match["pid"]) else "a dead process"


def _is_alive(process_id: str) -> bool:
    """Return whether a process of this machine can still write; a zombie, X or Z, cannot."""
    try:
        status = Path("/proc", process_id, "stat").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return status.rpartition(b")")[2].split()[0] not in (b"X", b"Z")


def remove_stale_folders(folder: Path, name: str) -> None:
    """Remove what killed processes of this machine left of making ``folder / name``.

    And the temporary files of what is named after it, such as ``name.tar``.
    """
    remove_stale(folder, name=name)
    for path in folder.glob(f"{glob.escape(name)}.*.tmp"):
        if owner_of(path.name) == "a dead process":
            shutil.rmtree(path)


# what file systems without locks answer, such as Lustre mounted without them
_NO_LOCKS = (errno.ENOSYS, errno.ENOTSUP, errno.ENOLCK)


@contextlib.contextmanager
def locked(path: Path, *, shared: bool = False, courtesy: bool = True) -> Iterator[None]:
    """Hold an advisory lock: a courtesy that saves work, correctness comes from the renames.

    The folder of ``path`` is made where it is absent: whoever held the lock before may have taken
    it away, lock and all. Where the file system has no locks, work goes on without.

    Args:
        path: the lock file; made where absent.
        shared: others may hold it at the same time, if shared too.
        courtesy: False: more than a courtesy; whoever does not get it at once gets an error.

    Raises:
        OSError: it cannot be opened; without ``courtesy`` BlockingIOError where another process
            holds it, and where the file system has no locks.
    """
    operation = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
    descriptor = None
    while descriptor is None:
        descriptor = _lock(path, operation, courtesy=courtesy)
    try:
        yield
    finally:
        os.close(descriptor)


def _lock(path: Path, operation: int, *, courtesy: bool) -> int | None:
    """Return the descriptor of the locked file, or None where it was removed meanwhile."""
    make_folder(path.parent)
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except FileNotFoundError:  # the folder went just now
        return None
    try:
        fcntl.flock(descriptor, operation if courtesy else operation | fcntl.LOCK_NB)
    except OSError as error:
        if not courtesy or error.errno not in _NO_LOCKS:
            os.close(descriptor)
            raise
    except BaseException:
        os.close(descriptor)
        raise
    with contextlib.suppress(FileNotFoundError):
        if os.path.samestat(os.fstat(descriptor), path.stat()):
            return descriptor
    os.close(descriptor)
    return None


class VolumeFile:
    """A ``.npy`` volume under a temporary name, filled slice by slice.

    Its whole size is allocated first: a full disk is an OSError here, never a SIGBUS later.
    ``slice_crc32`` has the checksum of every slice that was written as one.
    """

    def __init__(self, temporary: Path, shape: tuple[int, int, int], dtype: str) -> None:
        self.path = temporary
        self.shape = shape
        self.dtype = np.dtype(dtype)
        self.slice_crc32: dict[int, int] = {}
        self._slice_bytes = shape[1] * shape[2] * self.dtype.itemsize
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        self._descriptor = os.open(temporary, flags, 0o644)
        try:
            os.posix_fallocate(self._descriptor, 0, npy_bytes(shape, dtype))
            self._write(memoryview(npy_header(shape, dtype)), 0)
        except BaseException:
            self.discard()
            raise

    def write_slice(self, index: int, values: npt.NDArray[Any]) -> None:
        """Write slice ``index`` (H, W); ``values`` have the file's dtype."""
        data = np.ascontiguousarray(values, self.dtype).view(np.uint8).reshape(-1)
        self.slice_crc32[index] = crc32(data.data)
        self._write(data.data, NPY_HEADER_BYTES + index * self._slice_bytes)

    def slices(self, first: int, stop: int) -> Iterator[npt.NDArray[Any]]:
        """Yield slices ``first``..``stop`` (H, W) as they stand in the file, in a reused buffer."""
        buffer = np.empty(self.shape[1:], self.dtype)
        data = buffer.view(np.uint8).reshape(-1).data
        for index in range(first, stop):
            place = NPY_HEADER_BYTES + index * self._slice_bytes
            if os.preadv(self._descriptor, [data], place) != self._slice_bytes:
                raise OSError(errno.EIO, f"{self.path}: slice {index} cannot be read back")
            yield buffer

    def shared_map(self) -> npt.NDArray[Any]:
        """Return the voxels (D, H, W) as a map: for planes that cross every slice."""
        shared = mmap.mmap(self._descriptor, npy_bytes(self.shape, self.dtype.str))
        return np.frombuffer(shared, self.dtype, offset=NPY_HEADER_BYTES).reshape(self.shape)

    def sync(self) -> None:
        """Wait until the contents are on disk."""
        os.fsync(self._descriptor)

    def publish(self, path: Path) -> None:
        """Close the synced file and rename it to its place."""
        self._close()
        publish(self.path, path)

    def discard(self) -> None:
        """Close and remove the file where it has not been published."""
        self._close()
        self.path.unlink(missing_ok=True)

    def _write(self, data: memoryview, offset: int) -> None:
        while data:
            done = os.pwrite(self._descriptor, data, offset)
            data, offset = data[done:], offset + done

    def _close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


class FolderWriter:
    """Writes new files below a folder, each relative to its own folder's descriptor.

    No link is followed and nothing is replaced, whoever plants what meanwhile: an OSError instead.
    """

    def __init__(self, folder: Path) -> None:
        self._root = os.open(folder, _FOLDER_FLAGS)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        os.close(self._root)

    def write(self, parts: tuple[str, ...], size: int, chunks: Iterable[bytes]) -> None:
        """Write a file of ``size`` bytes, durably; the folders of ``parts`` are made."""
        folder = self._folder(parts[:-1])
        try:
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            descriptor = os.open(parts[-1], flags, 0o644, dir_fd=folder)
            with os.fdopen(descriptor, "wb") as file:
                if size:
                    os.posix_fallocate(descriptor, 0, size)  # a full disk is told at once
                for chunk in chunks:
                    file.write(chunk)
                file.flush()
                os.fsync(descriptor)
            os.fsync(folder)
        finally:
            os.close(folder)

    def _folder(self, parts: tuple[str, ...]) -> int:
        folder = os.dup(self._root)
        for part in parts:
            try:
                with contextlib.suppress(FileExistsError):
                    os.mkdir(part, 0o755, dir_fd=folder)
                    os.fsync(folder)
                below = os.open(part, _FOLDER_FLAGS, dir_fd=folder)
            finally:
                os.close(folder)
            folder = below
        return folder


class PartFile:
    """A download in the making: appended to, kept over a kill, renamed when it is whole.

    Raises:
        BlockingIOError: another process has it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
        self._descriptor = os.open(path, flags, 0o644)
        try:
            self._lock()
        except BaseException:
            os.close(self._descriptor)
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        os.close(self._descriptor)

    def _lock(self) -> None:
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            is_ours = os.path.samestat(os.fstat(self._descriptor), self.path.stat())
        except FileNotFoundError:
            is_ours = False
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                raise
            is_ours = True
        if not is_ours:  # whoever had it has renamed or removed it meanwhile
            raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN), str(self.path))

    @property
    def size(self) -> int:
        """Bytes so far."""
        return os.fstat(self._descriptor).st_size

    def restart(self) -> None:
        """Forget all bytes."""
        os.ftruncate(self._descriptor, 0)

    def append(self, data: bytes) -> None:
        """Add bytes at the end."""
        view = memoryview(data)
        while view:
            view = view[os.write(self._descriptor, view) :]

    def publish(self, path: Path) -> None:
        """Rename the file to its place, durably."""
        os.fsync(self._descriptor)
        publish(self.path, path)
