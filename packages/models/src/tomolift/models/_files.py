"""All reading and writing of files in this package: bounded reads, atomic writes."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Mapping
from pathlib import Path

import safetensors.torch
import torch
from torch import Tensor

from .errors import CheckpointError

MAXIMUM_BYTES = 4 << 30  # 30 times the 3D network's weights; larger files are refused unread

_METADATA_KEY = "tomolift"


def read_bytes(path: Path) -> bytes:
    """Return the content of a weights file of at most 4 GiB.

    Raises:
        CheckpointError: missing, a folder, not a regular file, unreadable, empty or too large.
    """
    if not path.exists():
        raise CheckpointError(f"{path}: no such file; check the path of the weights")
    if not path.is_file():
        raise CheckpointError(f"{path}: not a regular file; pass the weights file itself")
    try:
        with open(path, "rb") as stream:
            size = os.fstat(stream.fileno()).st_size
            if size == 0 or size > MAXIMUM_BYTES:
                raise CheckpointError(
                    f"{path}: {size} bytes, expected 1 to {MAXIMUM_BYTES}; "
                    "download it again or pass another file"
                )
            return stream.read(size)
    except OSError as error:
        raise CheckpointError(
            f"{path}: cannot be read ({error.strerror}); check its permissions and the disk"
        ) from error


def write_checkpoint(
    path: str | os.PathLike[str],
    state_dict: Mapping[str, Tensor],
    metadata: Mapping[str, str],
) -> None:
    """Write weights as safetensors; the file appears whole or not at all.

    Args:
        path: the file to make or replace, by a temporary one in the same existing folder.
        state_dict: names and tensors, of any device and memory format.
        metadata: what to say about them; `read_checkpoint(path).metadata` gives it back.

    Raises:
        TypeError: a value of `state_dict` is no tensor, or one of `metadata` no string.
        OSError: the folder does not exist or cannot be written; `path` is then as it was.

    Example:
        >>> import tempfile, torch
        >>> from tomolift.models import read_checkpoint
        >>> file = Path(tempfile.mkdtemp()) / "network.safetensors"
        >>> write_checkpoint(file, {"fc.bias": torch.zeros(3)}, {"arm": "2d"})
        >>> read_checkpoint(file).metadata["arm"]
        '2d'
    """
    for name, tensor in state_dict.items():
        if not isinstance(tensor, Tensor):
            raise TypeError(
                f"state_dict[{name!r}] is {type(tensor).__name__}, expected a tensor: "
                "pass model.state_dict()"
            )
    for name, text in metadata.items():
        if not isinstance(text, str):
            raise TypeError(
                f"metadata[{name!r}] is {type(text).__name__}, expected a string: pass str(value)"
            )
    # Cloned, because safetensors refuses tied weights, which share memory.
    tensors = {
        name: tensor.detach().cpu().clone(memory_format=torch.contiguous_format)
        for name, tensor in state_dict.items()
    }
    # One sorted entry: safetensors does not promise the order of several.
    described = {_METADATA_KEY: json.dumps(dict(metadata), sort_keys=True)}
    _replace(Path(path), safetensors.torch.save(tensors, metadata=described))


def read_metadata(data: bytes) -> dict[str, str]:
    """Return the metadata of a whole, already validated safetensors file."""
    length = int.from_bytes(data[:8], "little")
    entries = json.loads(data[8 : 8 + length]).get("__metadata__", {})
    if _METADATA_KEY not in entries:
        return dict(entries)
    try:
        described = json.loads(entries[_METADATA_KEY])
    except ValueError:
        return dict(entries)
    return described if isinstance(described, dict) else dict(entries)


def _replace(path: Path, content: bytes) -> None:
    """Put `content` at `path`: temporary file in the same folder, fsync, rename, fsync folder."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        with open(temporary, "xb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    if os.name == "nt":  # Windows cannot open a folder
        return
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
