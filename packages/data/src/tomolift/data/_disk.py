"""A disk that fails while a cache is written, told in one line with the cure."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .errors import one_line

_GO_ON = "run the same command again: it goes on from there"
_CURES = {
    errno.ENOSPC: "free space there and {again}",
    errno.EDQUOT: "free space within your quota and {again}",
    errno.EROFS: "it is mounted read-only: name a folder that can be written",
    errno.EACCES: "get the right to write there, or name another folder",
    errno.EPERM: "get the right to write there, or name another folder",
    errno.EIO: "look at the disk or network that holds it, then {again}",
    errno.EMFILE: "raise the limit of open files (ulimit -n) and {again}",
    **dict.fromkeys(
        (errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP), "use a file system with locks (flock)"
    ),
    errno.ENOTDIR: "name a folder whose parents are folders",
    errno.EEXIST: "name a folder whose parents are folders",
}


class DiskFailure(OSError):  # noqa: N818 - what it is, as BadInput
    """A folder or file cannot be written: no fault of the input, so no :class:`BadInput`.

    ``errno`` is the system's; the text is one line that names it, what failed and the cure.
    """

    def __str__(self) -> str:
        return str(self.strerror)


@contextmanager
def disk_failures_told(folder: Path, *, again: str = _GO_ON) -> Iterator[None]:
    """Turn the system's errors into :class:`DiskFailure` of ``folder``, which may be a file, too.

    Args:
        folder: what the message names.
        again: what to do once the disk is well, as the message says it.

    Raises:
        DiskFailure: an OSError was raised inside.
    """
    try:
        yield
    except (DiskFailure, BrokenPipeError):  # no disk is a pipe: whoever read what we print left
        raise
    except OSError as error:
        number = error.errno or errno.EIO
        reason = os.strerror(number) if error.errno else str(error)
        at = f" ({_relative(error.filename, folder)})" if error.filename else ""
        cure = _CURES.get(number, "see what is wrong there and {again}").format(again=again)
        line = one_line(f"{folder}: cannot go on writing: {reason}{at}; {cure}")
        raise DiskFailure(number, line) from error


def _relative(filename: object, folder: Path) -> str:
    return os.fsdecode(str(filename)).removeprefix(f"{folder}/")
