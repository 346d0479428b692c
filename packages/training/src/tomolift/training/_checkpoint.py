"""Training checkpoints: safetensors and JSON in one envelope that knows when it is damaged.

Layout: 8 bytes magic, uint64 little-endian length of the JSON, uint64 length of the safetensors
part, JSON, safetensors, sha256 of everything before it. Written to a temporary file, fsynced and
renamed, so a reader sees a whole checkpoint or the previous one.
"""

from __future__ import annotations

import hashlib
import json
import re
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor, nn

from ._files import write_bytes
from ._weight_average import WeightAverage
from .errors import DamagedCheckpointError

MAGIC = b"TOMOCKP1"
_HEAD = struct.Struct("<8sQQ")
_DIGEST_BYTES = 32
_KEPT = 2


@dataclass(frozen=True)
class Position:
    """Where training stands.

    Attributes:
        epoch: epochs finished.
        history: one JSON record an epoch, as in metrics.jsonl.
    """

    epoch: int
    history: list[dict[str, Any]]


def save_checkpoint(
    folder: Path,
    *,
    network: nn.Module,
    optimiser: torch.optim.Optimizer,
    position: Position,
    identity: str,
    average: WeightAverage | None = None,
) -> Path:
    """Write checkpoint-<epoch>.ckpt and delete all but the newest two.

    Args:
        folder: the run's checkpoint folder.
        network: weights and buffers are stored.
        optimiser: its per-parameter state is stored.
        position: how far training has come.
        identity: the run's hash; a checkpoint of another run is never resumed.
        average: stored too, where the run keeps one.
    """
    tensors = {f"network.{name}": value for name, value in network.state_dict().items()}
    for index, state in optimiser.state_dict()["state"].items():
        tensors |= {f"optimiser.{index}.{name}": value for name, value in state.items()}
    if average:
        tensors |= {f"average.{name}": value for name, value in average.to_tensors().items()}
    tensors["generator"] = torch.get_rng_state()
    tensors = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    record = {"identity": identity, "epoch": position.epoch, "history": position.history}
    text, body = json.dumps(record, allow_nan=False).encode(), save_tensors(tensors)
    envelope = _HEAD.pack(MAGIC, len(text), len(body)) + text + body
    path = folder / f"checkpoint-{position.epoch:06d}.ckpt"
    write_bytes(path, envelope + hashlib.sha256(envelope).digest())
    for old in _checkpoints(folder)[_KEPT:]:
        old.unlink(missing_ok=True)
    return path


def resume_checkpoint(
    folder: Path,
    *,
    network: nn.Module,
    optimiser: torch.optim.Optimizer,
    identity: str,
    average: WeightAverage | None = None,
) -> Position:
    """Load the newest checkpoint that verifies; Position(0, []) where there is none.

    Raises:
        DamagedCheckpointError: there are checkpoints but none verifies, or one is another run's.
    """
    for unfinished in folder.glob(".checkpoint-*"):  # 400 MB that a killed process left
        unfinished.unlink()
    damage: list[str] = []
    for path in _checkpoints(folder):
        try:
            record, tensors = read_envelope(path)
        except DamagedCheckpointError as error:
            damage.append(str(error))
            continue
        if record["identity"] != identity:
            raise DamagedCheckpointError(f"{path}: belongs to another run; delete its folder")
        _restore(network, optimiser, tensors)
        if average:
            average.restore(_named(tensors, "average."))
        return Position(int(record["epoch"]), list(record["history"]))
    if damage:
        raise DamagedCheckpointError(damage[0])
    return Position(0, [])


def read_envelope(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Read and verify one checkpoint file.

    Raises:
        DamagedCheckpointError: not a checkpoint, truncated, or a bit differs from what was written.
    """
    content = path.read_bytes()
    cure = "delete it to go on from an older one"
    if len(content) < _HEAD.size + _DIGEST_BYTES or not content.startswith(MAGIC):
        raise DamagedCheckpointError(f"{path}: not a whole training checkpoint; {cure}")
    _, text_length, body_length = _HEAD.unpack_from(content)
    end = _HEAD.size + text_length + body_length
    if end + _DIGEST_BYTES != len(content):
        raise DamagedCheckpointError(f"{path}: {len(content)} bytes, should be {end + 32}; {cure}")
    if hashlib.sha256(content[:end]).digest() != content[end:]:
        raise DamagedCheckpointError(f"{path}: its sha256 does not match its content; {cure}")
    body_start = _HEAD.size + text_length
    record: dict[str, Any] = json.loads(content[_HEAD.size : body_start])
    return record, load_tensors(content[body_start:end])


def _restore(
    network: nn.Module, optimiser: torch.optim.Optimizer, tensors: dict[str, Tensor]
) -> None:
    network.load_state_dict(_named(tensors, "network."))
    parameters = [item for group in optimiser.param_groups for item in group["params"]]
    state: dict[int, dict[str, Tensor]] = {}
    for name, value in tensors.items():
        if name.startswith("optimiser."):
            _, index, key = name.split(".", 2)
            like = parameters[int(index)]
            # Same memory layout as the parameter, as the optimiser itself would have made it.
            kept = torch.empty_like(like).copy_(value) if value.shape == like.shape else value
            state.setdefault(int(index), {})[key] = kept
    optimiser.load_state_dict({**optimiser.state_dict(), "state": state})
    torch.set_rng_state(tensors["generator"])


def _named(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {
        name.removeprefix(prefix): value
        for name, value in tensors.items()
        if name.startswith(prefix)
    }


def _checkpoints(folder: Path) -> list[Path]:
    """The folder's checkpoint files, newest first."""
    named = (path for path in folder.glob("checkpoint-*.ckpt"))
    return sorted(
        (path for path in named if re.fullmatch(r"checkpoint-\d{6,}\.ckpt", path.name)),
        key=lambda path: int(path.stem.removeprefix("checkpoint-")),
        reverse=True,
    )
