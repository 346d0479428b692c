"""Mutants of JSON documents, which stay JSON or do not."""

from __future__ import annotations

import copy
import json
import re
import zlib
from random import Random
from typing import Any

from faulting.mutants_bytes import damage

_NEST = "\u0001nest:{}\u0001"  # stands for lists within lists, deeper than Python's writer goes
_NESTED = re.compile(rb'"\\u0001nest:([0-9]+)\\u0001"')
_DEPTHS = (40, 300, 900, *range(930, 1000, 3), 1500, 20000)  # around Python's limit of 1000 frames
_HOSTILE: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 2, 3, 7, 254, 255, 256, 4096, 4097, 2**31, 2**63 - 1, 2**63, 2**64,
    -(2**63), 10**30, 10**400, 0.5, -0.0, 1e-320, 1e300, 1e308, float("nan"), float("inf"),
    "", " ", "0", "-1", "255", "a", "ok", "dropped", "failed", "x" * 5000, "\ud800", "\0",
    "\n\x1b[31m", "é", "../x", "/etc/passwd", "<i2", "<f4", ">i2", "O", "|u1", [], {}, [[]],
    [1], [0, 0, 0], [1, 2, 3], {"": 1}, ["x"] * 3, {"0": "background"},
)  # fmt: skip


def json_mutant(random: Random, content: Any, *, hostile: tuple[Any, ...] = ()) -> Any:
    """Return a copy of ``content`` with one to three nodes changed.

    Args:
        random: decides everything.
        content: plain JSON; not changed.
        hostile: values worth a try in this kind of document.
    """
    if random.random() < 0.01:
        return _value(random, hostile)
    changed = copy.deepcopy(content)
    for _ in range(random.choice((1, 1, 1, 2, 3))):
        nodes = list(_nodes(changed))
        if nodes:
            _change(random, *random.choice(nodes), hostile)
    return changed


def written(random: Random, content: Any) -> bytes:
    """Return ``content`` as JSON, now and then with damaged bytes."""
    text = _expanded(json.dumps(content, indent=random.choice((None, None, 1))).encode())
    return damage(random, text) if random.random() < 0.15 else text


def signed(content: dict[str, Any]) -> bytes:
    """Return one line of JSON with the right CRC32 over everything else, whatever it holds."""
    rest = {key: value for key, value in content.items() if key != "crc32"}
    line = json.dumps(rest, sort_keys=True, separators=(",", ":")).encode("ascii")
    body = _expanded(line)
    checksum = b'"crc32":%d' % zlib.crc32(body + b"\n")
    return body[:-1] + (b"," if rest else b"") + checksum + b"}\n"


def _expanded(text: bytes) -> bytes:
    return _NESTED.sub(lambda match: b"[" * int(match[1]) + b"]" * int(match[1]), text)


def _nodes(content: Any) -> Any:
    """Yield (container, key) of every node below ``content``."""
    if isinstance(content, dict):
        keys: Any = list(content)
    else:
        keys = range(len(content)) if isinstance(content, list) else ()
    for key in keys:
        yield content, key
        yield from _nodes(content[key])


def _change(random: Random, container: Any, key: Any, hostile: tuple[Any, ...]) -> None:
    kind = random.random()
    if kind < 0.5:
        container[key] = _value(random, hostile)
    elif kind < 0.6:
        del container[key]
    elif kind < 0.7 and isinstance(container[key], int | float):
        container[key] = _near(random, container[key])
    elif kind < 0.8:
        container[key] = [container[key]]
    elif kind < 0.9 and isinstance(container, list):
        container.insert(key, copy.deepcopy(container[random.randrange(len(container))]))
    elif isinstance(container, dict):
        new = random.choice(("", "x", "00", "1", "999", "\ud800", "k" * 3000, str(key) + " "))
        container[new] = container.pop(key)
    else:
        container[key] = copy.deepcopy(container[random.randrange(len(container))])


def _value(random: Random, hostile: tuple[Any, ...]) -> Any:
    if hostile and random.random() < 0.5:
        return copy.deepcopy(random.choice(hostile))
    if random.random() < 0.1:
        return _NEST.format(random.choice(_DEPTHS))
    return copy.deepcopy(random.choice(_HOSTILE))


def _near(random: Random, number: float) -> float:
    return random.choice((number + 1, number - 1, -number, number * 2, 0.5, 1 / 3))
