"""What a figure depends on besides the code."""

from __future__ import annotations

import platform
from pathlib import Path

import torch

CPUINFO = Path("/proc/cpuinfo")
# the widest first; by the names that the kernel and tomolift.ops give them
INSTRUCTION_SETS = {"avx512f": "avx512", "avx2": "avx2", "asimd": "neon"}


def describe_machine(*, isa: str) -> dict[str, object]:
    """Processor model, instruction set, versions, and the GPU if there is one.

    Args:
        isa: the instruction set in use; `widest_instructions()` where the processor decides.
    """
    cuda = torch.cuda.is_available()
    return {
        "processor": processor_model(),
        "isa": isa,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "cuda_device": torch.cuda.get_device_name() if cuda else None,
        "cuda_capability": ".".join(map(str, torch.cuda.get_device_capability())) if cuda else None,
    }


def processor_model() -> str:
    """The kernel's name of the processor; the architecture where it has none."""
    names = cpuinfo("model name")
    return names[0] if names else platform.machine()


def widest_instructions() -> str:
    """The widest vector instructions that the processor has, and so what libraries choose."""
    flags = " ".join([*cpuinfo("flags"), *cpuinfo("Features")]).split()
    return next((name for flag, name in INSTRUCTION_SETS.items() if flag in flags), "baseline")


def cpuinfo(field: str) -> list[str]:
    lines = CPUINFO.read_text("utf-8").splitlines() if CPUINFO.exists() else []
    return [line.partition(":")[2].strip() for line in lines if line.partition("\t")[0] == field]
