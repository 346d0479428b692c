"""Memory of this process by the kernel's own count: how much is resident, what it peaked at.

VmHWM, and not getrusage's ru_maxrss, which starts at the parent's size at exec; clear_refs sets it
back to the present size, so that what came before does not count. glibc keeps much of what was
freed: an allocation that it serves from there, of whatever size, would not be seen.
"""

from __future__ import annotations

import ctypes
import re
from collections.abc import Callable
from pathlib import Path

RESET_PEAK = "5"  # proc(5), /proc/pid/clear_refs


def extra_peak(step: Callable[[], object]) -> int:
    """Bytes by which the resident size peaks during the step above where it was before."""
    forget_the_past()
    before = resident("VmRSS")
    step()
    return resident("VmHWM") - before


def forget_the_past() -> None:
    """Give freed memory back to the system, and let the peak begin at the present size."""
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text(RESET_PEAK, "ascii")


def resident(field: str) -> int:
    """Bytes of a field of /proc/self/status, such as VmRSS."""
    return _field(Path("/proc/self/status"), field)


def private_bytes(process: int | str = "self") -> int:
    """Bytes that no other process shares: what this one takes beyond those that run already."""
    path = Path(f"/proc/{process}/smaps_rollup")
    return _field(path, "Private_Clean") + _field(path, "Private_Dirty")


def _field(path: Path, field: str) -> int:
    found = re.search(rf"^{field}:\s*(\d+) kB$", path.read_text("ascii"), re.M)
    if found is None:
        raise RuntimeError(f"{path} has no {field}: this needs Linux")
    return 1024 * int(found[1])
