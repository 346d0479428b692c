"""torch 0.1's tar checkpoints, which `torch.load(weights_only=True)` refuses, read by hand.

The tar has three members that matter: `storages` (flat arrays), `tensors` (views of them) and
`pickle` (the state dict, which refers to the tensors). Every declared size is compared with the
bytes that are there before anything is allocated.

Source: format of torch 0.1 as `torch.serialization` still reads it.
"""

from __future__ import annotations

import struct
from math import prod

import torch
from torch import Tensor

from ._legacy_pickle import Name, Parameter, PlainPickle

_BLOCK = 512
_MAXIMUM_AXES = 8
_DTYPES = {
    "DoubleStorage": torch.float64,
    "FloatStorage": torch.float32,
    "HalfStorage": torch.float16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
}


def is_legacy_tar(data: bytes) -> bool:
    """Tell whether the bytes begin like a tar archive."""
    return data[257:262] == b"ustar"


def read_legacy_tar(data: bytes) -> object:
    """Return what the checkpoint holds: for weights, a dict of names and tensors.

    Args:
        data: the whole file.

    Raises:
        ValueError: not such a checkpoint, truncated, inconsistent, or holding anything but
            plain weights; the message reads on from "the file ...: ".
    """
    members = _members(memoryview(data))
    missing = {"storages", "tensors", "pickle"} - set(members)
    if missing:
        raise ValueError(f"a tar archive without the members {', '.join(sorted(missing))}")
    if "sys_info" in members:
        _check_byte_order(PlainPickle(members["sys_info"]).value())
    storages = _storages(PlainPickle(members["storages"]))
    tensors = _tensors(PlainPickle(members["tensors"]), storages)

    def persistent(identity: object) -> object:
        if not isinstance(identity, str) or not identity.isdecimal() or len(identity) > 20:
            raise ValueError("it refers to an object that is no tensor")
        if int(identity) not in tensors:
            raise ValueError("it refers to a tensor that it does not hold")
        return tensors[int(identity)]

    content = PlainPickle(members["pickle"], persistent=persistent).value()
    if not isinstance(content, dict):
        return content
    return {
        name: value.data if isinstance(value, Parameter) else value
        for name, value in content.items()
    }


def _members(data: memoryview) -> dict[str, memoryview]:
    """Return the regular files of a tar archive (extension headers are skipped)."""
    members: dict[str, memoryview] = {}
    start = 0
    while start + _BLOCK <= len(data):
        header = bytes(data[start : start + _BLOCK])
        if not any(header):
            break
        digits = header[124:136].strip(b"\0 ")
        if not digits.isdigit() or set(digits) & set(b"89"):
            raise ValueError("its tar headers are damaged")
        size = int(digits, 8)
        start += _BLOCK
        if size > len(data) - start:
            raise ValueError("its data ends early")
        if header[156:157] in (b"0", b"\0"):
            members[header[:100].split(b"\0")[0].decode("latin-1")] = data[start : start + size]
        start += -(-size // _BLOCK) * _BLOCK
    return members


def _check_byte_order(system: object) -> None:
    if not isinstance(system, dict) or system.get("little_endian") is not True:
        raise ValueError("it was not written on a little-endian machine")


def _storages(stream: PlainPickle) -> dict[int, Tensor]:
    storages: dict[int, Tensor] = {}
    for _ in range(_count(stream)):
        match stream.value():
            case (int(key), str(), Name(module="torch" | "torch.cuda", attribute=kind)) if (
                kind in _DTYPES
            ):
                dtype = _DTYPES[kind]
            case _:
                raise ValueError("it has a storage of an unknown kind")
        (count,) = struct.unpack("<q", stream.take(8))
        raw = bytearray(stream.take(count * dtype.itemsize))
        storages[key] = torch.frombuffer(raw, dtype=dtype) if raw else torch.empty(0, dtype=dtype)
    views = stream.value()
    for view in views if isinstance(views, list | tuple) else ():
        match view:
            case (int(key), int(root), int(offset), int(count)) if root in storages:
                if not 0 <= offset <= offset + count <= storages[root].numel():
                    raise ValueError("it has a view that leaves its storage")
                storages[key] = storages[root][offset : offset + count]
            case _:
                raise ValueError("it has a malformed view of a storage")
    return storages


def _tensors(stream: PlainPickle, storages: dict[int, Tensor]) -> dict[int, Tensor]:
    tensors: dict[int, Tensor] = {}
    for _ in range(_count(stream)):
        match stream.value():
            case (int(key), int(storage), Name()) if storage in storages:
                flat = storages[storage]
            case _:
                raise ValueError("it has a tensor without a storage")
        (axes, _padding) = struct.unpack("<ii", stream.take(8))
        if not 0 <= axes <= _MAXIMUM_AXES:
            raise ValueError(f"it has a tensor of {axes} axes")
        shape = struct.unpack(f"<{axes}q", stream.take(8 * axes))
        strides = struct.unpack(f"<{axes}q", stream.take(8 * axes))
        (offset,) = struct.unpack("<q", stream.take(8))
        _check_view(shape, strides, offset, flat.numel())
        tensors[key] = flat.as_strided(shape, strides, flat.storage_offset() + offset)
    return tensors


def _check_view(
    shape: tuple[int, ...], strides: tuple[int, ...], offset: int, available: int
) -> None:
    """Refuse a view that leaves its storage, or that repeats elements and so grows on copying."""
    within = min((*shape, *strides, offset)) >= 0 and 0 < prod(shape) <= available
    if within:
        last = sum((side - 1) * stride for side, stride in zip(shape, strides, strict=True))
        within = offset + last < available
    if not within:
        raise ValueError("it has a tensor that leaves its storage")


def _count(stream: PlainPickle) -> int:
    count = stream.value()
    if not isinstance(count, int) or count < 0:
        raise ValueError("its pickle is malformed")
    return count
