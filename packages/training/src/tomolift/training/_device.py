"""Where and in which precision the networks run."""

from __future__ import annotations

import os
import platform
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from .errors import ConfigError


@dataclass(frozen=True)
class Compute:
    """A device with a precision.

    Attributes:
        device: where tensors live.
        precision: "fp32" or "bf16" (autocast of the network; losses and weights stay float32).
    """

    device: torch.device
    precision: str

    def autocast(self) -> AbstractContextManager[object]:
        """The context the network's forward runs in."""
        if self.precision == "fp32":
            return nullcontext()
        return torch.autocast(self.device.type, dtype=torch.bfloat16)

    def place(self, network: nn.Module, *, spatial_dims: int) -> nn.Module:
        """Move a network to the device, channels last where that pays (bf16: measured)."""
        if self.precision == "fp32":
            return network.to(self.device)
        layout = torch.channels_last if spatial_dims == 2 else torch.channels_last_3d
        # torch's stubs leave out memory_format.
        placed: nn.Module = network.to(self.device, memory_format=layout)  # type: ignore[call-overload]
        return placed

    def describe(self) -> str:
        """The device's name, as a report quotes it."""
        if self.device.type == "cuda":
            return torch.cuda.get_device_name(self.device)
        threads = torch.get_num_threads()
        return f"{_processor_name()}, {threads} thread{'s' if threads > 1 else ''}"


def choose_compute(precision: str, *, threads: int = 0, device: str | None = None) -> Compute:
    """Choose where to run; "auto" takes bf16 where the hardware has it.

    Args:
        precision: "auto", "fp32" or "bf16".
        threads: CPU threads; 0 takes torch's default.
        device: "cpu", "cuda" or "cuda:1"; None takes a CUDA device where there is one.

    Raises:
        ConfigError: no such device, or bf16 asked for on a CUDA device without it.
    """
    if threads:
        torch.set_num_threads(threads)
    name = device or ("cuda" if torch.cuda.is_available() else "cpu")
    return _compute(_device_named(name), precision)


def _compute(device: torch.device, precision: str) -> Compute:
    has_bf16 = _cuda_has_bf16() if device.type == "cuda" else _cpu_has_bf16()
    if precision == "auto":
        precision = "bf16" if has_bf16 else "fp32"
    if precision == "bf16" and device.type == "cuda" and not has_bf16:
        raise ConfigError("--precision bf16: this CUDA device has no bfloat16; use fp32")
    if precision == "fp32":
        # torch lets cuDNN round float32 convolutions to TF32's ten bits unless told otherwise.
        torch.backends.cudnn.allow_tf32 = False
        torch.backends.cuda.matmul.allow_tf32 = False
    return Compute(device, precision)


def _device_named(name: str) -> torch.device:
    present = [f"cuda:{index}" for index in range(torch.cuda.device_count())]
    if name not in ("cpu", "cuda", *present) or (name == "cuda" and not torch.cuda.is_available()):
        raise ConfigError(f"--device {name}: expected one of {', '.join(['cpu', *present])}")
    return torch.device(name)


def _cuda_has_bf16() -> bool:
    """Whether the device has native bfloat16; torch would also say yes where it is emulated."""
    return torch.cuda.is_bf16_supported(including_emulation=False)


def _cpu_has_bf16() -> bool:
    """Whether the processor has native bfloat16; emulated it is slower than float32."""
    return bool({"avx512_bf16", "amx_bf16", "bf16"} & set(_cpuinfo().split()))


def _processor_name() -> str:
    for line in _cpuinfo().splitlines():
        if line.startswith("model name"):
            return f"{line.split(':', 1)[1].strip()} ({os.cpu_count()} processors)"
    return platform.processor() or platform.machine()


def _cpuinfo() -> str:
    path = Path("/proc/cpuinfo")
    return path.read_text("utf-8", errors="replace") if path.exists() else ""
