"""Kernels as ptxas, the PTX and the SASS describe them."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass

_ENTRY = re.compile(r"Compiling entry function '(\S+)' for '(sm_\d+)'")
_STACK = re.compile(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads")
_USED = re.compile(r"Used (\d+) registers(?:.*?(\d+) bytes smem)?")
_PTX_ENTRY = re.compile(r"\.entry (\w+)\(")
_PTX_WIDE = re.compile(r"\b(ld|st)\.global\S*\.(?:v4\.[bufs]32|v2\.[bufs]64)\b")
_SASS_ENTRY = re.compile(r"Function : (\w+)")
_SASS_WIDE = re.compile(r"\b(LD|ST)G\.\S*128\b")
_NOISE = re.compile(r"^void |\btomolift::|\(anonymous namespace\)::|\b_INTERNAL_\w+::")


@dataclass(frozen=True, kw_only=True)
class Resources:
    """What ptxas -v says of one kernel; the bytes of the functions it calls are included."""

    architecture: str
    registers: int
    shared_bytes: int
    stack_bytes: int
    spill_store_bytes: int
    spill_load_bytes: int


@dataclass(frozen=True, kw_only=True)
class WideAccesses:
    """How many instructions move 16 bytes at a time between global memory and registers."""

    loads: int
    stores: int


def parse_ptxas(text: str) -> dict[str, Resources]:
    """Resources of every kernel in the output of `nvcc -Xptxas -v`, by mangled name."""
    kernels: dict[str, Resources] = {}
    entries = list(_ENTRY.finditer(text))
    ends = [entry.start() for entry in entries[1:]] + [len(text)]
    for entry, end in zip(
        entries, ends, strict=False
    ):  # without a kernel there is one end too many
        section = text[entry.end() : end]
        frames = [tuple(map(int, found)) for found in _STACK.findall(section)]
        used = _USED.search(section)
        if used is None or not frames:
            raise ValueError(
                f"ptxas says nothing of the registers or the stack of {entry[1]}: pass -Xptxas -v"
            )
        stack, stores, loads = (sum(column) for column in zip(*frames, strict=True))
        kernels[entry[1]] = Resources(
            architecture=entry[2],
            registers=int(used[1]),
            shared_bytes=int(used[2] or 0),
            stack_bytes=stack,
            spill_store_bytes=stores,
            spill_load_bytes=loads,
        )
    return kernels


def parse_ptx(text: str) -> dict[str, WideAccesses]:
    """128-bit accesses of every kernel in a PTX file, by mangled name."""
    return _count(text, _PTX_ENTRY, _PTX_WIDE)


def parse_sass(text: str) -> dict[str, WideAccesses]:
    """128-bit accesses of every kernel in the output of `cuobjdump -sass`, by mangled name."""
    return _count(text, _SASS_ENTRY, _SASS_WIDE)


def _count(text: str, entry: re.Pattern[str], wide: re.Pattern[str]) -> dict[str, WideAccesses]:
    pieces = entry.split(text)
    counts = {}
    for name, body in zip(pieces[1::2], pieces[2::2], strict=True):
        kinds = [kind.lower() for kind in wide.findall(body)]
        counts[name] = WideAccesses(loads=kinds.count("ld"), stores=kinds.count("st"))
    return counts


def read_names(mangled: Iterable[str]) -> dict[str, str]:
    """The kernels' names as the source has them, without namespaces and parameters."""
    names = list(mangled)
    done = subprocess.run(
        ["c++filt"], input="\n".join(names), capture_output=True, text=True, check=True
    )
    return {
        name: shorten(demangled)
        for name, demangled in zip(names, done.stdout.splitlines(), strict=True)
    }


def shorten(demangled: str) -> str:
    """run_tiles<float, 3> for void tomolift::(anonymous namespace)::run_tiles<float, 3>(int)."""
    name = _NOISE.sub("", demangled)
    depth, end = 0, len(name)
    for index, letter in enumerate(name):
        depth += (letter == "<") - (letter == ">")
        if letter == "(" and depth == 0:
            end = index
            break
    return name[:end]
