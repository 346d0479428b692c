"""What the benchmarks of ops race computes the same."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import torch
from losses import compiled, steps
from losses.agreement import check_agreement
from losses.problem import CHANNELS_LAST, CONTIGUOUS, Problem
from losses.races import race
from losses.sizes import TINY
from measuring.fresh_process import TOOLS
from measuring.race import Contender, Times
from measuring.result import Metric
from torch.nn import functional as F

SHAPE = (2, 3, 4, 5, 6)


def test_a_steps_least_traffic_counts_logits_gradient_and_labels() -> None:
    voxels = 2 * 4 * 5 * 6
    assert Problem(SHAPE).bytes_of_step() == voxels * 25
    assert Problem(SHAPE, dtype=torch.bfloat16).bytes_of_step() == voxels * 13


@pytest.mark.parametrize("layout", [CONTIGUOUS, CHANNELS_LAST])
def test_logits_are_written_anew_and_are_no_leaf(layout: str) -> None:
    problem = Problem(SHAPE, layout=layout)
    logits = problem.logits()
    assert (logits.requires_grad, logits.is_leaf) == (True, False)
    assert logits.stride() == problem.values.stride()
    logits.detach().zero_()
    assert not problem.values.equal(torch.zeros(SHAPE))
    assert problem.logits().equal(problem.values)


def test_several_buffers_take_turns() -> None:
    problem = Problem(SHAPE, buffers=3)
    addresses = [problem.logits().data_ptr() for _ in range(6)]
    assert len(set(addresses)) == 3
    assert addresses[:3] == addresses[3:]


@pytest.mark.parametrize("layout", [CONTIGUOUS, CHANNELS_LAST])
@pytest.mark.parametrize("memory", ["store", "recompute", "inplace"])
def test_what_is_raced_gives_the_gradient_of_eager(memory: str, layout: str) -> None:
    problem = Problem(SHAPE, layout=layout)
    contenders = {
        "ours": steps.ours(problem, memory=memory),
        "eager": steps.eager(problem),
        "eager with confusion": steps.eager_with_confusion(problem),
    }
    gradients = {}
    for name, contender in contenders.items():
        given = contender.prepare()
        given.register_hook(lambda gradient, name=name: gradients.update({name: gradient.clone()}))
        contender.step(given)
    leaf = problem.values.double().requires_grad_()
    (expected,) = torch.autograd.grad(F.cross_entropy(leaf, problem.labels.long()), leaf)
    for name in contenders:  # a few float32 roundings
        torch.testing.assert_close(gradients[name].double(), expected, rtol=1e-5, atol=1e-9)


def test_every_formulation_to_compile_is_cross_entropy_and_its_confusion() -> None:
    problem = Problem(SHAPE)
    logits, indices = problem.values, problem.labels.long()
    confusion = torch.zeros(3, 3, dtype=torch.int64)
    for truth, row in zip(indices.flatten(), logits.movedim(1, -1).reshape(-1, 3), strict=True):
        confusion[truth, row.argmax()] += 1
    for way in compiled.FORMULATIONS:
        loss, counted = way(logits, indices)
        torch.testing.assert_close(loss, F.cross_entropy(logits, indices))
        assert counted.equal(confusion), way.__name__


def test_ties_are_counted_alike_by_every_formulation() -> None:
    logits, indices = torch.zeros(1, 3, 2, 2), torch.tensor([[[0, 1], [2, 2]]])
    for way in compiled.FORMULATIONS:
        assert way(logits, indices)[1].tolist() == [[1, 0, 0], [1, 0, 0], [2, 0, 0]]


def test_contenders_that_differ_are_not_raced() -> None:
    matrix = torch.eye(2, dtype=torch.int64)
    right = (torch.tensor(1.0), matrix)
    check_agreement({"a": right, "b": (torch.tensor(1.00001), None), "copy": None})
    with pytest.raises(ValueError, match=r"^b has loss 1\.00\d+, expected a's 1\.0: "):
        check_agreement({"a": right, "b": (torch.tensor(1.001), None)})
    with pytest.raises(ValueError, match=r"^b has confusion .*expected a's"):
        check_agreement({"a": right, "b": (None, matrix.flip(0))})


def extra_mib(prepare: str, step: str) -> float:
    """In a process of its own: what earlier tests left to the allocator would be taken first."""
    script = (
        "import torch; from losses import extra_memory; from measuring.race import Contender; "
        f"contender = Contender({prepare}, {step}); extra_memory.once(contender); "
        "print(extra_memory.once(contender) / 2**20)"
    )
    command = [sys.executable, "-c", script]
    done = subprocess.run(
        command,
        cwd=Path(__file__).parent,
        env=os.environ | {"PYTHONPATH": str(TOOLS)},
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    return float(done.stdout)


def test_what_a_step_takes_for_a_while_is_its_extra_memory() -> None:
    """64 MiB touched and given back; glibc maps so large a piece by itself. 1 MiB is the noise."""
    taken = extra_mib("lambda: None", "lambda _: torch.ones(16 * 2**20).sum()")
    assert taken == pytest.approx(64, abs=1)
    assert extra_mib("lambda: None", "lambda _: None") < 1


def test_memory_of_the_inputs_does_not_count() -> None:
    """Preparing peaks at 128 MiB and leaves 64."""
    prepare = "lambda: torch.ones(16 * 2**20) + torch.ones(16 * 2**20)"
    assert extra_mib(prepare, "lambda given: given.sum()") < 1


def test_cudas_benchmarks_measure_every_target_of_the_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Run on the CPU, with the device's clock and memory count replaced."""
    import bench_cuda

    def on_the_cpu(*shape: Any, **options: Any) -> Problem:
        return Problem(*shape, **options | {"device": "cpu"})

    def raced(contenders: dict[str, Contender], **_: Any) -> Times:
        return race(contenders, rounds=2)

    def chosen(problem: Problem, **_: Any) -> tuple[Contender, dict[str, float]]:
        return steps.eager_with_confusion(problem), {"bincount": 1.0}

    monkeypatch.setattr(bench_cuda, "Problem", on_the_cpu)
    monkeypatch.setattr(bench_cuda, "race_on_device", raced)
    monkeypatch.setattr(bench_cuda, "best_compiled", chosen)
    monkeypatch.setattr(bench_cuda, "extra_device_memory", lambda contender: 0)
    monkeypatch.setattr(bench_cuda, "find_spec", lambda name: name)
    measured: dict[str, object] = {}

    def keep(*_: Any, metrics: dict[str, Metric], **__: Any) -> None:
        measured.update({name: metric["unit"] for name, metric in metrics.items()})

    bench_cuda.test_dense_against_copy_and_eager(TINY, keep)
    bench_cuda.test_dense_against_the_best_compiled(TINY, keep)
    bench_cuda.test_low_precision_against_copy_and_eager(TINY, keep, torch.bfloat16, CONTIGUOUS)
    bench_cuda.test_upsampled_against_interpolate_and_cross_entropy(TINY, keep)
    path = Path(bench_cuda.__file__).with_name("targets.toml")
    for target in tomllib.loads(path.read_text("utf-8"))["target"]:
        if target.get("on") == "H200":
            assert measured[target["metric"].replace("70x512x512", "8x32x32")] == target["unit"]
