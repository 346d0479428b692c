"""tools/check_cuda_code.py on compilers' output as it was, and as it must not be."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

ROOT = Path(__file__).parent.parent

# nvcc 13.0 -Xptxas -v, shortened: a kernel, then one whose helper spills
PTXAS = """\
ptxas info    : 0 bytes gmem
ptxas info    : Compiling entry function '_Z6finishv' for 'sm_90'
ptxas info    : Function properties for _Z6finishv
    0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
ptxas info    : Used 32 registers, used 1 barriers, 256 bytes smem
ptxas info    : Compile time = 43.330 ms
ptxas info    : Compiling entry function '_Z5tilesv' for 'sm_90'
ptxas info    : Function properties for _Z5tilesv
    16 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
ptxas info    : Used 128 registers, used 0 barriers
ptxas info    : Function properties for _Z6reportv
    8 bytes stack frame, 12 bytes spill stores, 4 bytes spill loads
"""

PTX = """\
.visible .entry _Z6finishv(
    ld.global.f64 %fd1, [%rd1];
    ld.shared.v4.u32 {%r1, %r2, %r3, %r4}, [%rd1];
}
.visible .entry _Z5tilesv(
    ld.global.cs.v4.u32 {%r1, %r2, %r3, %r4}, [%rd1];
    ld.global.nc.v2.u64 {%rd1, %rd2}, [%rd3];
    ld.global.nc.v2.u32 {%r1, %r2}, [%rd3];
    st.global.cs.v4.f32 [%rd1], {%f1, %f2, %f3, %f4};
}
"""

SASS = """\
        Function : _Z5tilesv
        /*0680*/  LDG.E.EF.128 R4, desc[UR8][R4.64] ;
        /*0690*/  LDG.E.64.CONSTANT R24, desc[UR8][R24.64] ;
        /*06a0*/  STG.E.EF.128 desc[UR8][R32.64], R4 ;
"""

PER_CLASS = "run_tiles<GroupTraits<float, (DenseAccess)0>, 3, true>"


@pytest.fixture
def tool(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    monkeypatch.syspath_prepend(str(ROOT / "tools"))
    from cuda_checking import demands, kernels

    return SimpleNamespace(demands=demands, kernels=kernels)


def test_ptxas_resources_belong_to_the_kernel_before_them(tool: SimpleNamespace) -> None:
    finish = tool.kernels.parse_ptxas(PTXAS)["_Z6finishv"]
    assert (finish.architecture, finish.registers, finish.shared_bytes) == ("sm_90", 32, 256)
    assert (finish.stack_bytes, finish.spill_store_bytes, finish.spill_load_bytes) == (0, 0, 0)


def test_what_a_called_function_spills_counts_for_its_kernel(tool: SimpleNamespace) -> None:
    tiles = tool.kernels.parse_ptxas(PTXAS)["_Z5tilesv"]
    assert (tiles.registers, tiles.shared_bytes) == (128, 0)
    assert (tiles.stack_bytes, tiles.spill_store_bytes, tiles.spill_load_bytes) == (24, 12, 4)


def test_a_source_without_kernels_has_none(tool: SimpleNamespace) -> None:
    assert tool.kernels.parse_ptxas("ptxas info    : 0 bytes gmem\n") == {}


def test_output_without_resources_is_an_error(tool: SimpleNamespace) -> None:
    entry = "ptxas info : Compiling entry function '_Z6finishv' for 'sm_90'\n"
    with pytest.raises(ValueError, match="nothing of the registers or the stack of _Z6finishv"):
        tool.kernels.parse_ptxas(entry)


def test_only_accesses_of_128_bits_to_global_memory_count(tool: SimpleNamespace) -> None:
    wide = tool.kernels.WideAccesses
    found = tool.kernels.parse_ptx(PTX)
    assert found == {"_Z6finishv": wide(loads=0, stores=0), "_Z5tilesv": wide(loads=2, stores=1)}
    assert tool.kernels.parse_sass(SASS) == {"_Z5tilesv": wide(loads=1, stores=1)}


def test_names_lose_namespaces_return_type_and_parameters(tool: SimpleNamespace) -> None:
    long = (
        "void tomolift::(anonymous namespace)::run_tiles<tomolift::(anonymous namespace)::"
        "GroupTraits<float, (tomolift::DenseAccess)0>, 3, true>(tomolift::DenseJob)"
    )
    assert tool.kernels.shorten(long) == PER_CLASS


@pytest.mark.skipif(shutil.which("c++filt") is None, reason="needs c++filt")
def test_mangled_names_are_read(tool: SimpleNamespace) -> None:
    assert tool.kernels.read_names(["_Z6finishv"]) == {"_Z6finishv": "finish"}


def _complaints(tool: SimpleNamespace, name: str, *, spilled: int, wide: int) -> list[str]:
    resources = tool.kernels.Resources(
        architecture="sm_90", registers=64, shared_bytes=0, stack_bytes=0,
        spill_store_bytes=spilled, spill_load_bytes=0,
    )  # fmt: skip
    accesses = {"PTX": tool.kernels.WideAccesses(loads=wide + 3, stores=wide)}
    found: list[str] = tool.demands.complaints(name, resources, accesses)
    return found


def test_a_kernel_as_it_should_be_brings_no_complaint(tool: SimpleNamespace) -> None:
    assert _complaints(tool, PER_CLASS, spilled=0, wide=3) == []
    assert _complaints(tool, "finish", spilled=0, wide=0) == []


def test_a_spill_is_complained_about_in_any_kernel(tool: SimpleNamespace) -> None:
    assert _complaints(tool, "finish", spilled=8, wide=0) == ["spills 8 bytes, expected 0"]


def test_a_class_without_its_128_bit_load_is_complained_about(tool: SimpleNamespace) -> None:
    (complaint,) = _complaints(tool, PER_CLASS, spilled=0, wide=2)
    assert "5 loads and 2 stores of 128 bits in its PTX, expected at least 6 and 3" in complaint


def test_single_elements_need_no_128_bit_access(tool: SimpleNamespace) -> None:
    name = PER_CLASS.replace("(DenseAccess)0", "(DenseAccess)2")
    assert _complaints(tool, name, spilled=0, wide=0) == []


def test_a_demand_that_no_kernel_meets_by_name_is_told(tool: SimpleNamespace) -> None:
    kernels = [PER_CLASS, "count_few_classes"]
    assert tool.demands.unmatched(kernels) == ["scale<.+>"]
