"""A finished run's network, with its last weights, on a device."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from torch import Tensor, nn

from .._device import Compute, choose_compute
from .._network import build_network
from ..errors import ConfigError
from ._finished import FinishedRun, read_finished


@dataclass(frozen=True, kw_only=True)
class Trained:
    """A network that predicts as its run evaluated.

    Attributes:
        run: what its folder says of it.
        network: in eval mode, BatchNorm's statistics as the run kept them.
        compute: device and precision.
    """

    run: FinishedRun
    network: nn.Module
    compute: Compute


def load_trained(
    run_dir: Path, *, device: str | None = None, precision: str | None = None, threads: int = 0
) -> Trained:
    """Load a finished run's network.

    Args:
        run_dir: OUT/runs/ARM-foldK-seedN-HASH.
        device: "cpu", "cuda" or "cuda:1"; None takes a CUDA device where there is one.
        precision: "fp32", "bf16" or "auto"; None takes what the run was evaluated with.
        threads: CPU threads; 0 takes torch's default.

    Raises:
        ConfigError: no finished run, weights that are not those it wrote, or no such device.
    """
    run = read_finished(run_dir)
    wanted = precision or str(run.environment.get("precision", "fp32"))
    compute = choose_compute(wanted, threads=threads, device=device)
    return Trained(run=run, network=finished_network(run, compute), compute=compute)


def finished_network(run: FinishedRun, compute: Compute) -> nn.Module:
    """A run's network with its last weights, placed, in eval mode."""
    path = run.folder / "network.safetensors"
    weights = _weights(path, sha256=run.network_sha256)
    network = build_network(
        run.arm,
        num_classes=len(run.label_names),
        seed=run.seed,
        config=run.training,
        start=None,
    )
    try:
        network.load_state_dict(weights)
    except RuntimeError as error:
        raise ConfigError(
            f"{path}: not the weights of arm {run.arm_name} ({str(error).splitlines()[0]}); "
            "train the run again"
        ) from error
    return compute.place(network, spatial_dims=run.arm.spatial_dims).eval()


def _weights(path: Path, *, sha256: str) -> dict[str, Tensor]:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}; train the run again") from error
    if hashlib.sha256(content).hexdigest() != sha256:
        raise ConfigError(f"{path}: changed since the run wrote it; train the run again")
    try:
        return load_tensors(content)
    except SafetensorError as error:
        raise ConfigError(f"{path}: no safetensors file ({error}); train again") from error
