"""Python code in disguise, planted in every slot of a task or a cache that a stranger may fill."""

from __future__ import annotations

import gzip
import io
import json
import pickle
import zipfile
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from faulting.small_task import SHAPE, nifti_header

from tomolift.data._format import canonical_json, signed

MARK = "tomolift planted code ran"
CODE = f"__import__('sys').audit({MARK!r})"
PROTOCOLS = range(pickle.HIGHEST_PROTOCOL + 1)


class Payload:
    """Pickles as a call of `eval`: whoever unpickles it runs CODE."""

    def __reduce__(self) -> tuple[Callable[[str], object], tuple[str]]:
        return eval, (CODE,)


def pickled(protocol: int) -> bytes:
    """Return bytes whose unpickling runs CODE."""
    return pickle.dumps(Payload(), protocol)


def npy_of_objects(protocol: int) -> bytes:
    """Return a .npy file of one pickled object, its header padded like the cache's."""
    text = b"{'descr': '|O', 'fortran_order': False, 'shape': (), }"
    header = b"\x93NUMPY\x01\x00" + (4096 - 10).to_bytes(2, "little")
    return header + text.ljust(4096 - 11) + b"\n" + pickled(protocol)


def npy_of_code() -> bytes:
    """Return a .npy file whose header is no dict but a call."""
    text = f"{{'descr': {CODE} or '<i2', 'fortran_order': False, 'shape': (1,), }}".encode()
    header = b"\x93NUMPY\x01\x00" + (4096 - 10).to_bytes(2, "little")
    return header + text.ljust(4096 - 11) + b"\n\0\0"


def with_code_for_texts(sound: bytes) -> Iterator[bytes]:
    """Yield lines of JSON once for each text in them, with CODE in its place, checksums right.

    All else stays, so that readers get as far as possible. A file that is no JSON yields nothing.
    """
    try:
        lines = [json.loads(line) for line in sound.splitlines()]
    except ValueError:
        return
    for index, line in enumerate(lines):
        for each in spoilt(line):
            changed = [*lines[:index], each, *lines[index + 1 :]]
            yield b"".join(canonical_json(signed(content)) for content in changed)


def spoilt(content: Any) -> Iterator[Any]:
    """Yield JSON once for each text in it, with CODE in that text's place."""
    if isinstance(content, str):
        yield CODE
    elif isinstance(content, dict):
        for key, value in content.items():
            yield from ({**content, key: each} for each in spoilt(value))
    elif isinstance(content, list):
        for index, value in enumerate(content):
            changed = (content[:index] + [each] + content[index + 1 :] for each in spoilt(value))
            yield from changed


def nifti_of(data: bytes) -> bytes:
    """Return a sound header with `data` where the voxels, the name and the texts should be."""
    header = bytearray(nifti_header(SHAPE, np.dtype("<i2")))
    header[148:228] = CODE.encode().ljust(80, b"\0")  # descrip
    return bytes(header) + data.ljust(2 * int(np.prod(SHAPE)), b"\0")


def json_of_classes() -> bytes:
    """Return JSON in the forms by which careless readers make objects."""
    call = {"py/reduce": [{"py/function": "builtins.eval"}, {"py/tuple": [CODE]}]}
    named = {"__class__": "builtins.eval", "__reduce__": [CODE], "$type": "eval", "args": [CODE]}
    return json.dumps({**call, **named, "name": f"{{0.__class__}}{CODE}", "labels": named}).encode()


def yaml_of_tags() -> bytes:
    """Return YAML whose unsafe loading runs CODE."""
    return f'!!python/object/apply:eval ["{CODE}"]\n'.encode()


def zip_of_pickle(protocol: int) -> bytes:
    """Return the beginning of a torch file: a zip with a data.pkl."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("archive/data.pkl", pickled(protocol))
    return file.getvalue()


def every_payload() -> dict[str, bytes]:
    """Return every payload by name."""
    payloads = {f"pickle, protocol {protocol}": pickled(protocol) for protocol in PROTOCOLS}
    payloads |= {f"npy of objects, protocol {each}": npy_of_objects(each) for each in PROTOCOLS}
    newest = pickle.HIGHEST_PROTOCOL
    return {
        **payloads,
        "npy header of code": npy_of_code(),
        "NIfTI of a pickle": nifti_of(pickled(newest)),
        "torch file": zip_of_pickle(newest),
        "JSON of classes": json_of_classes(),
        "YAML of tags": yaml_of_tags(),
        "Python source": CODE.encode(),
        "gzip of a pickle": gzip.compress(pickled(newest)),
        "gzip of NIfTI of a pickle": gzip.compress(nifti_of(pickled(newest))),
    }
