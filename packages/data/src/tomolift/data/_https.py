"""One GET over https: redirects, time-outs and the exceptions of `requests` in two kinds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from urllib.parse import urljoin, urlsplit

import requests
import urllib3

from ._announcement import bare
from .errors import BadInput, one_line

_MAX_REDIRECTS = 5
_CHUNK_BYTES = 2**18  # what a connection that stalls may lose; smaller ones cost CPU
_REDIRECTS = (301, 302, 303, 307, 308)


class Interrupted(Exception):  # noqa: N818 - what happened; it is tried again
    """The connection, or the server, failed in a way that may pass."""


def check_url(url: str, *, code: str, where: str) -> None:
    """Refuse everything but https without a password in it.

    Raises:
        BadInput: ``code``.
    """
    try:
        parts = urlsplit(url)
        is_good = parts.scheme == "https" and bool(parts.hostname) and url.isprintable()
        has_password = parts.username is not None or parts.password is not None
    except ValueError:
        is_good = has_password = False
    if has_password:
        raise BadInput(code, where, "has a name or password in it", "give it without")
    if not is_good:
        problem = f"is {bare(url)[:200]!r}, expected https://..."
        raise BadInput(code, where, problem, "name an https address")


@contextmanager
def get(
    url: str, headers: Mapping[str, str], *, connect_seconds: float, stall_seconds: float
) -> Iterator[requests.Response]:
    """Yield the answer to a GET; its body has not been read.

    `requests` would follow redirects itself, but to http as well, and it reads the body of each,
    however long, into memory.

    Raises:
        BadInput: E_DOWNLOAD: a certificate or address that will not get better.
        Interrupted: no connection, or none in time.
    """
    timeout = (connect_seconds, stall_seconds)
    shown = bare(url)
    with requests.Session() as session:
        for _ in range(_MAX_REDIRECTS + 1):
            with _answer(session, url, headers, timeout) as response:
                if response.status_code not in _REDIRECTS:
                    yield response
                    return
                target = urljoin(url, response.headers.get("Location", ""))
            check_url(target, code="E_DOWNLOAD", where=f"the redirect of {shown}")
            url = target
    problem = f"redirects more than {_MAX_REDIRECTS} times"
    raise BadInput("E_DOWNLOAD", shown, problem, "name another server by --url")


def _answer(
    session: requests.Session, url: str, headers: Mapping[str, str], timeout: tuple[float, float]
) -> requests.Response:
    try:
        return session.get(
            url, headers=dict(headers), timeout=timeout, stream=True, allow_redirects=False
        )
    except requests.exceptions.SSLError as error:
        problem = f"has no certificate that can be trusted ({_reason(error)})"
        cure = "name another server by --url; REQUESTS_CA_BUNDLE names a file of certificates"
        raise BadInput("E_DOWNLOAD", bare(url)[:200], problem, cure) from error
    except (requests.exceptions.ConnectionError, requests.exceptions.Timeout) as error:
        raise Interrupted(f"cannot be reached ({_reason(error)})") from error
    except requests.exceptions.RequestException as error:
        problem = f"is not answered properly ({_reason(error)})"
        cure = "name another server by --url"
        raise BadInput("E_DOWNLOAD", bare(url)[:200], problem, cure) from error


def body(response: requests.Response) -> Iterator[bytes]:
    """Yield the body as it was sent.

    Raises:
        Interrupted: the connection ends or stalls before the announced length.
    """
    pieces = response.raw.stream(_CHUNK_BYTES, decode_content=False)
    while True:
        try:
            piece = next(pieces, b"")
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise Interrupted(f"broke off ({_reason(error)})") from error
        if not piece:
            return
        yield piece


def _reason(error: BaseException) -> str:
    """Return what the innermost exception says; the outer ones repeat the address."""
    while inner := error.__cause__ or error.__context__:
        error = inner
    return one_line(str(error) or type(error).__name__)[:200]
