"""Putting a checkpoint's tensors into a network, all or nothing, with an account of each."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from ._checkpoints import HEADS, Checkpoint
from ._encoder import ENCODER_LAYERS, ResNetEncoder
from ._stem import grey_weight
from .errors import CheckpointError

_COUNTER = "num_batches_tracked"


@dataclass(frozen=True)
class LoadReport:
    """What became of each tensor; BatchNorm's step counters are not counted.

    Attributes:
        path: the weights file.
        matched: taken over as they stand.
        adapted: taken over with a change: a colour stem summed into a one-channel one.
        reinitialised: the model's tensors that kept the values they had.
        unused: the file's tensors that went nowhere.
    """

    path: Path
    matched: tuple[str, ...]
    adapted: tuple[str, ...]
    reinitialised: tuple[str, ...]
    unused: tuple[str, ...]

    def summary(self) -> str:
        """Return one line: the counts, and the names where few were not matched.

        Example:
            >>> LoadReport(Path("a.pth"), ("conv1.weight",), (), ("fc.bias",), ()).summary()
            'a.pth: 1 matched, 0 adapted, 1 reinitialised (fc.bias), 0 unused'
        """
        parts = [f"{len(self.matched)} matched"]
        for fate in ("adapted", "reinitialised", "unused"):
            names: tuple[str, ...] = getattr(self, fate)
            more = f", and {len(names) - 4} more" if len(names) > 4 else ""
            listed = f" ({', '.join(names[:4])}{more})" if names else ""
            parts.append(f"{len(names)} {fate}{listed}")
        return f"{self.path.name}: {', '.join(parts)}"

    def table(self) -> str:
        """Return a line for every tensor: its name and what became of it."""
        fates = ("matched", "adapted", "reinitialised", "unused")
        rows = [(name, fate) for fate in fates for name in getattr(self, fate)]
        width = max((len(name) for name, _ in rows), default=0)
        return "\n".join(f"{name:<{width}}  {fate}" for name, fate in rows)


def load_pretrained(
    model: ResNetEncoder, checkpoint: Checkpoint, *, minimum_matched: int | None = None
) -> LoadReport:
    """Copy a checkpoint into a model whose tensors have the same names; report every tensor.

    The last layer (`fc`, of a U-Net `head`) keeps its initial values where the file has none or
    another number of classes, and so does a decoder that the file does not have: a classifier's or
    a dilated network's weights become a U-Net's encoder, and the other way round. A stem of
    one input channel takes the sum of the file's channels, exact for grey pictures. Step counters
    that the file does not have start at 0. On an error the model is as it was.

    Args:
        model: the network to fill, on any device and of any dtype.
        checkpoint: from `read_checkpoint`.
        minimum_matched: number of tensors that must be matched or adapted; by default as many as
            the encoder has (100 in a ResNet-18, 180 in a -34, 265 in a -50).

    Raises:
        CheckpointError: a tensor of another shape, tensors of layers that the model does not
            have, or too few matches: another architecture.

    Example:
        >>> import tempfile
        >>> from tomolift.models import DilatedResNet18, read_checkpoint, write_checkpoint
        >>> file = Path(tempfile.mkdtemp()) / "voc.safetensors"
        >>> write_checkpoint(file, DilatedResNet18(21).state_dict(), {})
        >>> report = load_pretrained(DilatedResNet18(3), read_checkpoint(file))
        >>> len(report.matched), report.reinitialised
        (100, ('fc.weight', 'fc.bias'))
    """
    own = model.state_dict()
    matched: dict[str, Tensor] = {}
    adapted: dict[str, Tensor] = {}
    unused: list[str] = []
    for name, value in checkpoint.state_dict.items():
        if name not in own:
            _check_foreign(checkpoint, name, own)
            unused.append(name)
        elif own[name].shape == value.shape:
            matched[name] = value
        elif name == "conv1.weight" and _is_grey_stem(own[name], value):
            adapted[name] = grey_weight(value)
        elif name.split(".")[0] in HEADS and own[name].shape[1:] == value.shape[1:]:
            unused.append(name)
        else:
            raise CheckpointError(_wrong_shape(checkpoint, name, value, own[name]))
    taken = matched | adapted
    counted = [name for name in taken if not name.endswith(_COUNTER)]
    needed = _encoder_size(own) if minimum_matched is None else minimum_matched
    if len(counted) < needed:
        raise CheckpointError(
            f"{checkpoint.path}: {len(counted)} tensors match {type(model).__name__}, expected at "
            f"least {needed}: another architecture; pass weights of this network"
        )
    with torch.no_grad():
        for name, target in own.items():
            if name in taken:
                target.copy_(taken[name])
            elif name.endswith(_COUNTER):
                target.zero_()
    return LoadReport(
        path=checkpoint.path,
        matched=_without_counters(name for name in own if name in matched),
        adapted=tuple(adapted),
        reinitialised=_without_counters(name for name in own if name not in taken),
        unused=tuple(sorted((*_without_counters(unused), *checkpoint.dropped))),
    )


def _encoder_size(own: dict[str, Tensor]) -> int:
    encoder = (name for name in own if name.split(".")[0] in ENCODER_LAYERS)
    return len(_without_counters(encoder))


def _without_counters(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(name for name in names if not name.endswith(_COUNTER))


def _is_grey_stem(own: Tensor, value: Tensor) -> bool:
    return own.ndim == value.ndim and own.shape == (value.shape[0], 1, *value.shape[2:])


def _check_foreign(checkpoint: Checkpoint, name: str, own: dict[str, Tensor]) -> None:
    """Refuse a tensor of a layer that the model has too: the file's network is a deeper one."""
    layer = name.split(".")[0]
    if name.endswith(_COUNTER) or layer in HEADS:  # another head says nothing about the layers
        return
    if any(other.startswith(f"{layer}.") for other in own):
        raise CheckpointError(
            f"{checkpoint.path}: has {name[:80]!r}, which the model has not: another architecture; "
            "pass weights of this network"
        )


def _wrong_shape(checkpoint: Checkpoint, name: str, value: Tensor, own: Tensor) -> str:
    shapes = f"{name} is {tuple(value.shape)} in the file and {tuple(own.shape)} in the model"
    if value.ndim == 4 and own.ndim == 5:
        return (
            f"{checkpoint.path}: {shapes}: 2D weights for a 3D network; "
            "load them into the 2D network and inflate that"
        )
    if name == "conv1.weight" and value.shape[2:] == own.shape[2:]:
        return f"{checkpoint.path}: {shapes}; build the network with in_channels={value.shape[1]}"
    return f"{checkpoint.path}: {shapes}: another architecture; pass weights of this network"
