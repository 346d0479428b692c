"""All reading and writing of files in this package: safetensors, written whole or not at all."""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping
from pathlib import Path

import safetensors.torch
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from .errors import WeightsFileError


def read_weights(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The tensors of a safetensors file by name, and its metadata.

    Raises:
        WeightsFileError: missing, no file, or not whole safetensors.
    """
    if not path.is_file():
        raise WeightsFileError(f"{path}: no such file: check the path of the 2D weights")
    try:
        with safe_open(path, framework="pt") as stream:
            tensors = {name: stream.get_tensor(name) for name in stream.keys()}  # noqa: SIM118 (no iterator)
            return tensors, dict(stream.metadata() or {})
    except (SafetensorError, OSError) as error:
        raise WeightsFileError(
            f"{path}: no whole safetensors file ({error}): convert the weights to safetensors, or "
            "download them again"
        ) from error


def write_weights(
    path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str], *, overwrite: bool
) -> None:
    """Put tensors at `path`: temporary file in the same folder, fsync, rename, fsync folder.

    Raises:
        WeightsFileError: the file exists and is not to be overwritten, or cannot be written; it is
            then as it was.
    """
    if path.exists() and not overwrite:
        raise WeightsFileError(f"{path}: exists already: choose another name or pass --overwrite")
    whole = {
        name: tensor.detach().cpu().clone(memory_format=torch.contiguous_format)
        for name, tensor in tensors.items()
    }
    content = safetensors.torch.save(whole, metadata=dict(metadata))
    try:
        _replace(path, content)
    except OSError as error:
        raise WeightsFileError(
            f"{path}: cannot be written ({error.strerror}): check the folder and the disk"
        ) from error


def _replace(path: Path, content: bytes) -> None:
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
