"""What a server announces of a file: how long it is, and by what it is known again."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from .errors import BadInput

_RANGE = re.compile(r"bytes ([0-9]{1,18})-([0-9]{1,18})/([0-9]{1,18})")
_MAX_BYTES = 2**14  # of the file that keeps an announcement: three short fields


@dataclass(frozen=True)
class Announcement:
    """A file on a server.

    Attributes:
        url: where it was asked for, without what follows a question mark, which may be secret.
        size: in bytes.
        validator: its strong ETag, else its date; empty where it has neither, and then nothing
            that was loaded of it can be trusted to be of the same file.
    """

    url: str
    size: int
    validator: str

    def to_json(self) -> bytes:
        """Return the text that :func:`kept_announcement` reads."""
        return json.dumps(asdict(self)).encode()


def bare(url: str) -> str:
    """Return an address as it may be shown and kept: without query and fragment."""
    return url.partition("#")[0].partition("?")[0]


def announced(url: str, headers: Mapping[str, str]) -> Announcement:
    """Return what the headers of a whole file (status 200) tell.

    Raises:
        BadInput: E_DOWNLOAD: no plain length, or the file is packed once more on its way.
    """
    if (encoding := headers.get("Content-Encoding", "identity")) != "identity":
        problem = f"the server sends it encoded as {encoding[:40]}"
        raise BadInput("E_DOWNLOAD", bare(url), problem, "name another server by --url")
    length = headers.get("Content-Length", "")
    if not re.fullmatch(r"[0-9]{1,18}", length) or "Transfer-Encoding" in headers:
        problem = "the server does not tell how long the file is"
        raise BadInput("E_DOWNLOAD", bare(url), problem, "name another server by --url")
    return Announcement(bare(url), int(length), _validator(headers))


def continues(announcement: Announcement, start: int, headers: Mapping[str, str]) -> bool:
    """Return whether a part (status 206) is the rest of the announced file, from ``start`` on."""
    match = _RANGE.fullmatch(headers.get("Content-Range", ""))
    if match is None or _validator(headers) != announcement.validator:
        return False
    wanted = (start, announcement.size - 1, announcement.size)
    return tuple(int(number) for number in match.groups()) == wanted


def beside(part: Path) -> Path:
    """Return where the announcement of a part is kept."""
    return part.with_name(f"{part.name}.json")


def kept_announcement(path: Path) -> Announcement | None:
    """Return what was kept beside a part; None where nothing, or nothing usable, is there."""
    try:
        if path.stat().st_size > _MAX_BYTES:
            return None
        content = json.loads(path.read_bytes())
        url, size, validator = content["url"], content["size"], content["validator"]
    except (FileNotFoundError, ValueError, TypeError, KeyError, RecursionError):
        return None
    if not (isinstance(url, str) and type(size) is int and isinstance(validator, str)):
        return None
    return Announcement(url, size, validator)


def _validator(headers: Mapping[str, str]) -> str:
    tag = headers.get("ETag", "")
    is_strong = tag.startswith('"') and tag.endswith('"') and len(tag) > 2
    text = tag if is_strong else headers.get("Last-Modified", "")
    return text if text.isascii() and text.isprintable() and len(text) < 1024 else ""
