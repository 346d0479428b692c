"""Download a file so that it may be cut anywhere and goes on from there, or starts over."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import requests

from ._announcement import Announcement, announced, bare, beside, continues, kept_announcement
from ._files import PartFile, write_durably
from ._https import Interrupted, body, get
from ._room import check_room
from .errors import BadInput

# pooch.retrieve is not used: it loads under a name drawn at random, forgets what was loaded when
# it is interrupted, and gives its downloaders no place to keep an ETag. `requests`, which pooch
# stands on, does what is needed: ranges, streams, certificates, proxies.

_PASSING = (408, 425, 429, 500, 502, 503, 504)  # answers that may be others in a moment


@dataclass(frozen=True, kw_only=True)
class Patience:
    """How long to wait for a server, and how much to take from it.

    Attributes:
        connect_seconds: for a connection.
        stall_seconds: without a byte.
        back_off_seconds: before each new attempt; attempts that brought bytes do not count.
        max_bytes: the longest file to accept, more than twice the largest MSD archive.
    """

    connect_seconds: float = 10
    stall_seconds: float = 60
    back_off_seconds: tuple[float, ...] = (1, 2, 4, 8, 16)
    max_bytes: int = 2**36


def download(
    url: str,
    part: PartFile,
    *,
    patience: Patience,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Fill ``part`` with the file at ``url``, from where it stands.

    What is there already is kept only if the server says, by the ETag or date it gave before, that
    the file is still the same one. Nothing is known of the contents after this but their length.

    Args:
        url: an https address.
        part: kept when this raises, for the next call.
        patience: limits of time, attempts and length.
        progress: called with bytes so far and bytes in all.

    Raises:
        BadInput: E_DOWNLOAD, E_SPACE.
        OSError: the disk fails or is full.
    """
    failures, most = 0, part.size
    while True:
        try:
            _attempt(url, part, patience, progress)
            return
        except Interrupted as error:
            failures = 1 if part.size > most else failures + 1
            most = max(most, part.size)
            if failures > len(patience.back_off_seconds):
                problem = f"{error}, {failures} times in a row"
                cure = f"run again later: {part.size} bytes are kept and it goes on from there"
                raise BadInput("E_DOWNLOAD", bare(url), problem, cure) from error
        time.sleep(patience.back_off_seconds[failures - 1])


def _attempt(
    url: str,
    part: PartFile,
    patience: Patience,
    progress: Callable[[int, int], None] | None,
) -> None:
    known = _usable(part, url)
    if known and part.size == known.size:
        return
    headers = {"Accept-Encoding": "identity"}
    if known:
        headers |= {"Range": f"bytes={part.size}-", "If-Range": known.validator}
    seconds = {
        "connect_seconds": patience.connect_seconds, "stall_seconds": patience.stall_seconds,
    }  # fmt: skip
    with get(url, headers, **seconds) as response:
        announcement = _begun(url, response, known, part, patience)
        for data in body(response):
            if part.size + len(data) > announcement.size:
                part.restart()
                raise Interrupted("sent more than it had announced")
            part.append(data)
            if progress:
                progress(part.size, announcement.size)
    if part.size < announcement.size:
        raise Interrupted("broke off")


def _usable(part: PartFile, url: str) -> Announcement | None:
    """Return the announcement that the bytes of ``part`` belong to; without one they go."""
    known = kept_announcement(beside(part.path))
    if known and known.url == bare(url) and known.validator and 0 < part.size <= known.size:
        return known
    part.restart()
    return None


def _begun(
    url: str,
    response: requests.Response,
    known: Announcement | None,
    part: PartFile,
    patience: Patience,
) -> Announcement:
    """Return what the coming bytes, which go to the end of ``part``, belong to."""
    status, headers = response.status_code, response.headers
    if status in _PASSING:
        raise Interrupted(f"is answered by {_status(response)}")
    if known and status == 206 and continues(known, part.size, headers):
        check_room(part.path.parent, 2 * known.size - part.size)
        return known
    if known and status in (206, 416):
        part.restart()
        raise Interrupted("has changed meanwhile")
    if status != 200:
        problem = f"is answered by {_status(response)}, expected the file"
        raise BadInput("E_DOWNLOAD", bare(url), problem, "name another server by --url")
    announcement = announced(url, headers)
    if announcement.size > patience.max_bytes:
        problem = f"has {announcement.size} bytes, at most {patience.max_bytes} are loaded"
        raise BadInput("E_DOWNLOAD", bare(url), problem, "check the address")
    # first the bytes go, then their announcement: never old bytes under a new one
    part.restart()
    check_room(part.path.parent, 2 * announcement.size)  # the archive, and what it unpacks to
    write_durably(beside(part.path), announcement.to_json())
    return announcement


def _status(response: requests.Response) -> str:
    return f"{response.status_code} {response.reason}"[:80]
