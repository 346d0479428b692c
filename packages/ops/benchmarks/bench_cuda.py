"""Both ops on CUDA against eager and compiled torch and a copy: run with -m gpu.

Buffers larger than the L2 cache take turns. What "ours" is timed for is loss, gradient and
confusion matrix, from the call to the end of the backward pass.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec

import pytest
import torch
from losses import steps
from losses.compiled import best_compiled
from losses.problem import CHANNELS_LAST, Problem
from losses.races import race_on_device
from losses.sizes import Sizes
from measuring.device_race import extra_device_memory
from measuring.result import Metric, bandwidth, cost, duration, memory, speed_up

from tomolift.ops import build_info

Keep = Callable[..., None]
BUFFERS = 3
ROUNDS = 21
FREE_BYTES = 8 * 2**30  # eager float32 makes several copies of its 440 MB, and buffers take turns

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
    pytest.mark.skipif(not build_info()["cuda"], reason="needs a build with the CUDA part"),
]


@pytest.fixture(autouse=True)
def enough_memory() -> None:
    free, _ = torch.cuda.mem_get_info()
    if free < FREE_BYTES:
        pytest.skip(
            f"{free / 2**30:.1f} GiB are free on the device, {FREE_BYTES / 2**30:.0f} needed"
        )


def test_dense_against_copy_and_eager(sizes: Sizes, keep: Keep) -> None:
    problem = Problem(sizes.dense_cuda, device="cuda", buffers=BUFFERS)
    contenders = {
        "ours": steps.ours(problem),
        "in place": steps.ours(problem, memory="inplace"),
        "copy": steps.copy(problem),
        "eager": steps.eager(problem),
        "eager with confusion": steps.eager_with_confusion(problem),
    }
    times = race_on_device(contenders, rounds=ROUNDS)
    metrics = {
        "CUDA dense float32": duration(times),
        "CUDA dense float32 / copy_": cost(times, "copy"),
        "CUDA dense float32 in place / copy_": cost(times, "copy", of="in place"),
        "CUDA dense float32, times eager": speed_up(times, "eager"),
        "CUDA dense float32, times eager + confusion": speed_up(times, "eager with confusion"),
    }
    keep(
        times,
        group=problem.describe(),
        metrics=metrics,
        extra_bytes={name: extra_device_memory(one) for name, one in contenders.items()},
        **bandwidth(times, moved=problem.bytes_of_step(), copied=2 * problem.values.nbytes),
    )


@pytest.mark.filterwarnings("ignore")  # the compiler warns of its own doings
def test_dense_against_the_best_compiled(sizes: Sizes, keep: Keep) -> None:
    if find_spec("triton") is None:
        pytest.skip("torch.compile needs triton on CUDA, which is not installed")
    problem = Problem(sizes.dense_cuda, device="cuda", buffers=BUFFERS)
    fastest, tried = best_compiled(problem, timed_by=race_on_device)
    times = race_on_device({"ours": steps.ours(problem), "compiled": fastest}, rounds=ROUNDS)
    metrics = {"CUDA dense float32, times compiled + confusion": speed_up(times, "compiled")}
    keep(times, group=problem.describe(), metrics=metrics, formulations_us=tried)


@pytest.mark.parametrize("layout", ["contiguous", CHANNELS_LAST])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=["bfloat16", "float16"])
def test_low_precision_against_copy_and_eager(
    sizes: Sizes, keep: Keep, dtype: torch.dtype, layout: str
) -> None:
    problem = Problem(sizes.dense_cuda, dtype=dtype, layout=layout, device="cuda", buffers=BUFFERS)
    contenders = {
        "ours": steps.ours(problem),
        "copy": steps.copy(problem),
        "eager": steps.eager(problem),
    }
    times = race_on_device(contenders, rounds=ROUNDS)
    name = f"CUDA dense {str(dtype).removeprefix('torch.')}"
    name += "" if layout == "contiguous" else f" {layout}"
    keep(
        times,
        group=problem.describe(),
        metrics={
            name: duration(times),
            f"{name} / copy_": cost(times, "copy"),
            f"{name}, times eager": speed_up(times, "eager"),
        },
        **bandwidth(times, moved=problem.bytes_of_step(), copied=2 * problem.values.nbytes),
    )


def test_upsampled_against_interpolate_and_cross_entropy(sizes: Sizes, keep: Keep) -> None:
    low, full = sizes.upsampled_wide
    problem = Problem(low, label_shape=full, device="cuda")
    contenders = {"ours": steps.upsampled_ours(problem), "eager": steps.upsampled_eager(problem)}
    times = race_on_device(contenders, rounds=ROUNDS)
    extra = {name: extra_device_memory(one) for name, one in contenders.items()}
    name = f"CUDA up-sampled to {'x'.join(map(str, full))}"
    metrics: dict[str, Metric] = {
        name: duration(times),
        f"{name}, times eager": speed_up(times, "eager"),
        f"{name}, extra memory": memory(extra["ours"]),
    }
    keep(times, group=problem.describe(), metrics=metrics, extra_bytes=extra)
