"""Weights files of every format that 2D source networks come in, read without running them."""

from __future__ import annotations

import hashlib
import io
import os
import re
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import safetensors.torch
import torch
from torch import Tensor

from ._files import read_bytes, read_metadata
from ._legacy_tar import is_legacy_tar, read_legacy_tar
from .errors import CheckpointError

Format = Literal["torch-zip", "torch-legacy", "torch-legacy-tar", "safetensors"]
Naming = Literal["torchvision", "resnet18_8s", "tomolift"]

HEADS = ("fc", "head")  # last layers: a classifier's or a dilated network's, and a U-Net's
_PAPER_PREFIX = "resnet18_8s."
# torch's convention, -<8 or more hex digits>.pth, and what looks like one but is a day
_HASH_IN_NAME = re.compile(r"-([0-9a-f]{8,64})\.pth?$")
_DATE = re.compile(r"(19|20)\d\d(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])")
_DOWNLOAD = "download it again or pass another file"
_SAVE = "save model.state_dict() alone"


@dataclass(frozen=True)
class Checkpoint:
    """A weights file's tensors under plain names (`conv1.weight`, ..., `fc.bias`), checked finite.

    Attributes:
        state_dict: names and tensors on the CPU; every floating type is float32.
        path: the file.
        format: how it is stored.
        naming: "torchvision" (a classifier, or no fc), "resnet18_8s" (the paper's prefix, taken
            off) or "tomolift" (plain names with a convolution as fc, or names of our own).
        num_classes: classes of the segmentation layer, `fc` or `head`; None where there is none.
        sha256: of the file, 64 hex digits.
        dropped: names left out: a classifier's Linear `fc`, which segments nothing.
        metadata: what `write_checkpoint` was given; empty for torch's formats.
    """

    state_dict: dict[str, Tensor]
    path: Path
    format: Format
    naming: Naming
    num_classes: int | None
    sha256: str
    dropped: tuple[str, ...] = ()
    metadata: Mapping[str, str] = field(default_factory=dict)


def read_checkpoint(path: str | os.PathLike[str]) -> Checkpoint:
    """Read the weights of a 2D or 3D network; nothing in the file is ever executed.

    Reads torch's zip format, its older stream format (both by `weights_only`), the tar format of
    torch 0.1 (by a reader of our own) and safetensors; names as torchvision writes them or with
    the paper's prefix `resnet18_8s.`. A sha256 prefix in the name of a .pth or .pt file
    (`-f37072fd.pth`, but not a date as in `-20240115.pth`) is verified first.

    Source: paper, checkpoint formats.

    Args:
        path: a file of at most 4 GiB.

    Raises:
        CheckpointError: missing, truncated, altered, no weights file, not a plain dict of named
            tensors, or a value that is not finite.

    Example:
        >>> import tempfile
        >>> from tomolift.models import DilatedResNet18, write_checkpoint
        >>> file = Path(tempfile.mkdtemp()) / "network.safetensors"
        >>> write_checkpoint(file, DilatedResNet18(21).state_dict(), {})
        >>> read_checkpoint(file).num_classes
        21
    """
    file = Path(path)
    data = read_bytes(file)
    sha256 = hashlib.sha256(data).hexdigest()
    _check_name(file, sha256)
    kind = _format(file, data)
    metadata: Mapping[str, str] = {}
    if kind == "safetensors":
        content: object = _read_safetensors(file, data)
        metadata = read_metadata(data)
    elif kind == "torch-legacy-tar":
        content = _read_tar(file, data)
    else:
        content = _read_torch(file, data, kind)
    tensors = _plain_tensors(file, content, len(data))
    prefixed = all(name.startswith(_PAPER_PREFIX) for name in tensors)
    if prefixed:
        tensors = {name.removeprefix(_PAPER_PREFIX): value for name, value in tensors.items()}
    head = tensors.get("fc.weight")
    dropped: tuple[str, ...] = ()
    if head is not None and head.ndim == 2:
        dropped = tuple(name for name in ("fc.weight", "fc.bias") if name in tensors)
        tensors = {name: value for name, value in tensors.items() if name not in dropped}
    naming: Naming = "tomolift"
    if prefixed:
        naming = "resnet18_8s"
    elif "conv1.weight" in tensors and not any(f"{head}.weight" in tensors for head in HEADS):
        naming = "torchvision"
    return Checkpoint(
        state_dict=tensors,
        path=file,
        format=kind,
        naming=naming,
        num_classes=_num_classes(tensors),
        sha256=sha256,
        dropped=dropped,
        metadata=metadata,
    )


def _num_classes(tensors: Mapping[str, Tensor]) -> int | None:
    """Return the filters of the last layer where that is a convolution."""
    heads = [tensors[name] for name in (f"{head}.weight" for head in HEADS) if name in tensors]
    return heads[0].shape[0] if heads and heads[0].ndim >= 4 else None


def _check_name(file: Path, sha256: str) -> None:
    """Compare the hash that torchvision's file names carry; it catches damage, not forgery."""
    named = _HASH_IN_NAME.search(file.name)
    if named and not _DATE.fullmatch(named[1]) and not sha256.startswith(named[1]):
        raise CheckpointError(
            f"{file}: its sha256 begins {sha256[: len(named[1])]}, but its name says {named[1]}; "
            "download it again, or rename it if that is no hash"
        )


def _format(file: Path, data: bytes) -> Format:
    if data[:4] == b"PK\x03\x04":
        return "torch-zip"
    if is_legacy_tar(data):
        return "torch-legacy-tar"
    if data[:2] == b"\x80\x02":
        return "torch-legacy"
    if data[8:9] == b"{" and int.from_bytes(data[:8], "little") <= len(data) - 8:
        return "safetensors"
    raise CheckpointError(
        f"{file}: not a weights file (neither safetensors nor one of torch's formats); {_DOWNLOAD}"
    )


def _read_safetensors(file: Path, data: bytes) -> object:
    try:
        return safetensors.torch.load(data)
    except Exception as error:
        raise CheckpointError(
            f"{file}: not readable as safetensors ({_line(error)}); {_DOWNLOAD}"
        ) from error


def _read_tar(file: Path, data: bytes) -> object:
    try:
        return read_legacy_tar(data)
    except ValueError as error:
        raise CheckpointError(
            f"{file}: not readable as torch 0.1's tar format: {_line(error)}; {_DOWNLOAD}"
        ) from error


def _read_torch(file: Path, data: bytes, kind: Format) -> object:
    if kind == "torch-zip":
        _check_zip(file, data)
    try:
        return torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except Exception as error:  # damaged bytes surface as almost any exception of torch's reader
        raise CheckpointError(
            f"{file}: damaged, or holds Python objects beside tensors, which are never loaded "
            f"({type(error).__name__}); {_DOWNLOAD}, or {_SAVE}"
        ) from error


def _check_zip(file: Path, data: bytes) -> None:
    """Refuse an archive whose members claim more bytes than the file has: torch stores plainly."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            claimed = sum(member.file_size for member in archive.infolist())
    except Exception as error:  # zipfile raises more than BadZipFile on damaged directories
        raise CheckpointError(f"{file}: damaged or truncated; {_DOWNLOAD}") from error
    if claimed > len(data):
        raise CheckpointError(
            f"{file}: {len(data)} bytes that unpack to {claimed}, which torch never writes; "
            f"{_DOWNLOAD}"
        )


def _plain_tensors(file: Path, content: object, size: int) -> dict[str, Tensor]:
    """Return float32 tensors from a dict of names and tensors, or refuse it."""
    if not isinstance(content, dict) or not content:
        raise CheckpointError(f"{file}: holds no dictionary of tensors; {_SAVE}")
    for name, value in content.items():
        if not isinstance(name, str) or not isinstance(value, Tensor):
            raise CheckpointError(
                f"{file}: {str(name)[:80]!r} is {type(value).__name__}, expected a tensor; {_SAVE}"
            )
        if value.layout != torch.strided or value.device.type != "cpu":
            raise CheckpointError(f"{file}: {name[:80]!r} is no ordinary tensor; {_SAVE}")
        if not value.is_floating_point() and not name.endswith("num_batches_tracked"):
            raise CheckpointError(
                f"{file}: {name[:80]!r} is {value.dtype}, expected floating point; "
                "pass weights that are not quantised"
            )
    if sum(value.numel() * value.itemsize for value in content.values()) > 2 * size:
        raise CheckpointError(f"{file}: its tensors are larger than the file; {_SAVE}")
    tensors = {name: _as_float32(value) for name, value in content.items()}
    for name, value in tensors.items():
        if not value.isfinite().all():
            raise CheckpointError(
                f"{file}: {name[:80]!r} has values that are not finite; pass another checkpoint"
            )
    return tensors


def _as_float32(value: Tensor) -> Tensor:
    plain = value.detach()
    return (plain.float() if plain.is_floating_point() else plain).contiguous()


def _line(error: Exception) -> str:
    """Return the first sentence of a library's message, for a one-line error of ours."""
    text = str(error).strip() or type(error).__name__
    return text.splitlines()[0].split(". ")[0][:160]
