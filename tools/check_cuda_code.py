"""Compile every CUDA source for every architecture and look at the code of each kernel.

`python tools/check_cuda_code.py` prints a row a kernel and exits with 1 if one spills registers or
has a stack frame, or lacks the 128-bit accesses that tools/cuda_checking/demands.py wants of it in
its PTX, and in its SASS where cuobjdump is on PATH. Needs nvcc and c++filt, no GPU.
"""

from __future__ import annotations

import argparse
import os
import re
import shlex
import shutil
import subprocess
import tempfile
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from cuda_checking.demands import complaints, unmatched
from cuda_checking.kernels import (
    Resources,
    WideAccesses,
    parse_ptx,
    parse_ptxas,
    parse_sass,
    read_names,
)

SOURCE = Path(__file__).parent.parent / "csrc"
ARCHITECTURES = ("80", "90", "100")  # as in csrc/CMakeLists.txt


@dataclass(frozen=True)
class Code:
    """One kernel for one architecture."""

    source: str
    resources: Resources
    accesses: dict[str, WideAccesses]  # by the form of the code, PTX or SASS


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="compilers at once")
    jobs = parser.parse_args().jobs
    nvcc = find_nvcc()
    if not shutil.which("cuobjdump"):
        print("SASS: not run: no cuobjdump on PATH; 128-bit accesses are read in the PTX alone")
    tasks = [
        (source, architecture)
        for source in sorted((SOURCE / "cuda").glob("*.cu"))
        for architecture in known_architectures(nvcc)
    ]
    kernels: dict[str, list[Code]] = defaultdict(list)
    with ThreadPoolExecutor(jobs) as pool:
        for found in pool.map(lambda task: inspect(nvcc, *task), tasks):
            names = read_names(found)
            for mangled, code in found.items():
                kernels[names[mangled]].append(code)
    print_table(kernels)
    wrong = [
        f"{name} ({code.resources.architecture}) {complaint}"
        for name, codes in sorted(kernels.items())
        for code in codes
        for complaint in complaints(name, code.resources, code.accesses)
    ]
    wrong += [f"no kernel is called {pattern}, see demands.py" for pattern in unmatched(kernels)]
    print(*wrong, sep="\n")
    count = sum(map(len, kernels.values()))
    print(f"{count} kernels of {len(tasks)} compilations, {len(wrong)} complaints")
    raise SystemExit(1 if wrong or not count else 0)


def find_nvcc() -> str:
    """CUDACXX or the nvcc on PATH."""
    nvcc = os.environ.get("CUDACXX") or shutil.which("nvcc")
    if not nvcc:
        raise SystemExit("there is no CUDA compiler: put nvcc on PATH or set CUDACXX")
    return nvcc


def known_architectures(nvcc: str) -> list[str]:
    """Those of ours that this compiler can build for."""
    listed = subprocess.run([nvcc, "--list-gpu-arch"], capture_output=True, text=True, check=True)
    known = re.findall(r"compute_(\d+)$", listed.stdout, re.MULTILINE)
    return [architecture for architecture in ARCHITECTURES if architecture in known]


def inspect(nvcc: str, source: Path, architecture: str) -> dict[str, Code]:
    """Compile one source for one architecture; its kernels by mangled name."""
    with tempfile.TemporaryDirectory(prefix="tomolift-cuda-code-") as folder:
        said = run(
            [nvcc, "-std=c++17", "-O3", "-DNDEBUG", "-I", str(SOURCE / "include")]
            + ["-gencode", f"arch=compute_{architecture},code=sm_{architecture}"]
            + ["-Xptxas", "-v", "-keep", "--keep-dir", folder]
            + ["-c", str(source), "-o", str(Path(folder) / "object.o")]
        )
        forms = {"PTX": parse_ptx(only_file(folder, "*.ptx").read_text())}
        if cuobjdump := shutil.which("cuobjdump"):
            forms["SASS"] = parse_sass(run([cuobjdump, "-sass", str(only_file(folder, "*.cubin"))]))
    return {
        name: Code(source.stem, resources, {form: counts[name] for form, counts in forms.items()})
        for name, resources in parse_ptxas(said).items()
    }


def run(command: list[str]) -> str:
    done = subprocess.run(["nice", *command], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"{shlex.join(command)} failed:\n{done.stdout}{done.stderr}")
    return done.stdout + done.stderr


def only_file(folder: str, pattern: str) -> Path:
    (path,) = Path(folder).glob(pattern)
    return path


def print_table(kernels: dict[str, list[Code]]) -> None:
    """A row a kernel; where architectures differ, a number for each."""
    columns = ("architecture", "registers", "shared", "spills", "loads", "stores", "kernel")
    rows: list[tuple[str, ...]] = [columns]
    ordered = (
        (name, list(codes))
        for name, found in sorted(kernels.items())
        for _, codes in groupby(found, key=lambda code: code.source)
    )
    for name, codes in ordered:
        every = [
            (
                code.resources.architecture.removeprefix("sm_"),
                code.resources.registers,
                code.resources.shared_bytes,
                code.resources.spill_store_bytes + code.resources.spill_load_bytes,
                code.accesses["PTX"].loads,
                code.accesses["PTX"].stores,
            )
            for code in codes
        ]
        cells = (
            "/".join(map(str, column if len(set(column)) > 1 else column[:1]))
            for column in zip(*every, strict=True)
        )
        rows.append((*cells, f"{name} in {codes[0].source}.cu"))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        print(
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        )


if __name__ == "__main__":
    main()
