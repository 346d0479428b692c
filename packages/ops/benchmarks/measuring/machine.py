"""What a figure depends on besides the code."""

from __future__ import annotations

import platform
from pathlib import Path

import torch

from tomolift.ops import build_info


def describe_machine() -> dict[str, object]:
    """Processor model, instruction set in use, versions, and the GPU if there is one."""
    cuda = torch.cuda.is_available()
    return {
        "processor": processor_model(),
        "isa": build_info()["cpu_isa"],
        "torch": torch.__version__,
        "python": platform.python_version(),
        "cuda_device": torch.cuda.get_device_name() if cuda else None,
        "cuda_capability": ".".join(map(str, torch.cuda.get_device_capability())) if cuda else None,
    }


def processor_model() -> str:
    """The kernel's name of the processor; the architecture where it has none."""
    source = Path("/proc/cpuinfo")
    lines = source.read_text("utf-8").splitlines() if source.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
