from __future__ import annotations

import io
import os
import pickle
import struct
import tarfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from jaxtyping import install_import_hook
from torch import Tensor, nn

# Shapes in annotations are checked while the tests run.
with install_import_hook("tomolift.models", "beartype.beartype"):
    from tomolift.models import DilatedResNet18


@pytest.fixture
def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


@pytest.fixture
def randomise() -> Callable[[nn.Module], nn.Module]:
    """Give norms statistics that training could have left, so that no test passes by 0 and 1."""

    def apply(module: nn.Module) -> nn.Module:
        source = torch.Generator().manual_seed(1)
        for layer in module.modules():
            if isinstance(layer, nn.BatchNorm2d | nn.BatchNorm3d):
                layer.running_mean.uniform_(-0.2, 0.2, generator=source)
                layer.running_var.uniform_(0.5, 2.0, generator=source)
                nn.init.uniform_(layer.weight, 0.5, 1.0, generator=source)
                nn.init.uniform_(layer.bias, -0.2, 0.2, generator=source)
        return module

    return apply


@pytest.fixture(scope="session")
def voc_state() -> dict[str, Tensor]:
    """A 21-class network's 102 tensors under plain names."""
    network = DilatedResNet18(21, generator=torch.Generator().manual_seed(3))
    return {
        name: value
        for name, value in network.state_dict().items()
        if not name.endswith("num_batches_tracked")
    }


@pytest.fixture(scope="session")
def classifier_state(voc_state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The same as torchvision writes it: fc is a Linear layer of 1000 classes."""
    head = {"fc.weight": torch.randn(1000, 512), "fc.bias": torch.randn(1000)}
    return voc_state | head


@pytest.fixture
def small_state() -> dict[str, Tensor]:
    return {
        "conv1.weight": torch.arange(24.0).reshape(4, 3, 2, 1) / 7,
        "bn1.weight": torch.tensor([1.0, 2.0, 3.0, 4.0]),
        "fc.bias": torch.tensor([0.5, -0.5]),
    }


class _Wrapped:
    """Pickles as torch 0.1 pickled a Parameter: class, (data,), state."""

    def __init__(self, data: Any) -> None:
        self.data = data

    def __reduce_ex__(self, protocol: Any) -> Any:
        return torch.nn.Parameter, (self.data,), (True, False, None)


class _ById:
    def __init__(self, identity: int) -> None:
        self.identity = identity


class _Pickler(pickle.Pickler):
    def persistent_id(self, obj: Any) -> str | None:
        return str(obj.identity) if isinstance(obj, _ById) else None


def _dump(value: Any) -> bytes:
    stream = io.BytesIO()
    _Pickler(stream, protocol=2).dump(value)
    return stream.getvalue()


def legacy_tar_members(
    state: dict[str, Tensor], *, parameters: bool = False, content: Any = None
) -> dict[str, bytes]:
    """Write a state dict's members as torch 0.1 did (torch.serialization.legacy_load reads it)."""
    address = 94223372036854  # larger than 32 bits, as a pointer is
    storages, tensors = _dump(len(state)), _dump(len(state))
    ordered: Any = OrderedDict()
    for index, (name, value) in enumerate(state.items()):
        storage, tensor = address + 16 * index, address + 16 * index + 8
        storages += _dump((storage, "cpu", torch.FloatStorage))
        storages += struct.pack("<q", value.numel()) + value.contiguous().numpy().tobytes()
        tensors += _dump((tensor, storage, torch.FloatTensor)) + struct.pack("<q", value.ndim)
        tensors += struct.pack(f"<{2 * value.ndim}q", *value.shape, *value.contiguous().stride())
        tensors += struct.pack("<q", 0)
        ordered[name] = _Wrapped(_ById(tensor)) if parameters else _ById(tensor)
    sizes = {"short": 2, "int": 4, "long": 4}
    system = {"protocol_version": 1000, "little_endian": True, "type_sizes": sizes}
    return {
        "sys_info": _dump(system),
        "pickle": _dump(ordered if content is None else content),
        "tensors": tensors,
        "storages": storages + _dump([]),
    }


def pack_tar(path: Path, members: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w:", format=tarfile.PAX_FORMAT) as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size, info.mtime = len(data), 1482000000.25  # a fraction makes a pax header
            archive.addfile(info, io.BytesIO(data))
    return path


@pytest.fixture
def legacy_members() -> Callable[..., dict[str, bytes]]:
    return legacy_tar_members


@pytest.fixture(scope="session")
def whole_tar(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    state = {"conv1.weight": torch.ones(2, 3), "fc.bias": torch.zeros(2)}
    members = legacy_tar_members(state, parameters=True)
    return pack_tar(tmp_path_factory.mktemp("tar") / "whole.pth", members).read_bytes()


@pytest.fixture
def write_tar() -> Callable[[Path, dict[str, bytes]], Path]:
    return pack_tar


@pytest.fixture(scope="session")
def real_weights() -> Path:
    default = Path(__file__).parents[4] / "shared"
    folder = Path(os.environ.get("TOMOLIFT_SHARED", default)) / "weights"
    if not folder.is_dir():
        pytest.skip(f"no real weights at {folder}: set TOMOLIFT_SHARED")
    return folder
