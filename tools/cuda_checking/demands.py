"""What every kernel's code must be like."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

from cuda_checking.kernels import Resources, WideAccesses

_PER_CLASS = r"run_tiles<GroupTraits<(.+), \(DenseAccess\)[01]>, (\d+), (?:true|false)>"


def _one_a_class(found: re.Match[str]) -> WideAccesses:
    # and as the labels: four of float32 are 32 bytes of int64 or 16 of int32, eight of the others
    # twice that and 16 of int16
    labels = 3 if found[1] == "float" else 7
    return WideAccesses(loads=int(found[2]) + labels, stores=int(found[2]))


def _both_ways(found: re.Match[str]) -> WideAccesses:
    return WideAccesses(loads=1, stores=1)


def _every_label_type(found: re.Match[str]) -> WideAccesses:
    return WideAccesses(loads=4, stores=0)


# The kernels that owe their speed to 16-byte accesses, and how many they need at least. Others read
# single elements by design, or too little to matter.
WIDE: tuple[tuple[re.Pattern[str], Callable[[re.Match[str]], WideAccesses]], ...] = (
    (re.compile(_PER_CLASS), _one_a_class),
    (re.compile("scale<.+>"), _both_ways),
    (re.compile("count_few_classes|count_many_classes"), _every_label_type),
)


def needed(name: str) -> WideAccesses | None:
    """The 128-bit accesses that a kernel of this name must have, None where it need not."""
    for pattern, least in WIDE:
        found = pattern.fullmatch(name)
        if found:
            return least(found)
    return None


def complaints(name: str, resources: Resources, accesses: dict[str, WideAccesses]) -> list[str]:
    """What is wrong with a kernel; accesses are those in each form of its code (PTX, SASS)."""
    wrong = [
        f"{what} {count} bytes, expected 0"
        for what, count in (
            ("spills", resources.spill_store_bytes + resources.spill_load_bytes),
            ("has a stack frame of", resources.stack_bytes),
        )
        if count
    ]
    least = needed(name)
    for form, found in accesses.items():
        if least and (found.loads < least.loads or found.stores < least.stores):
            wrong.append(
                f"has {found.loads} loads and {found.stores} stores of 128 bits in its {form}, "
                f"expected at least {least.loads} and {least.stores}"
            )
    return wrong


def unmatched(names: Iterable[str]) -> list[str]:
    """The patterns above that no kernel has: a kernel was renamed and is looked at no more."""
    every = list(names)
    return [
        pattern.pattern for pattern, _ in WIDE if not any(pattern.fullmatch(name) for name in every)
    ]
