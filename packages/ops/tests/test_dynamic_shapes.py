"""One compiled graph for volumes of every size, forward and backward."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

from tomolift.ops import upsampled_argmax, upsampled_cross_entropy, voxel_cross_entropy

OPTIONS: list[dict[str, Any]] = [
    {"label_smoothing": 0.1},
    {"reduction": "none"},
    {"reduction": "sum", "weight": torch.tensor([0.5, 1.0, 2.0]), "ignore_index": 1},
]


@pytest.fixture(autouse=True)
def _nothing_compiled_yet() -> Iterator[None]:
    torch._dynamo.reset()
    yield
    torch.compiler.set_stance("default")


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("op", [voxel_cross_entropy, upsampled_cross_entropy])
def test_one_graph_serves_every_size(op: Any, options: dict[str, Any]) -> None:
    def step(z: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        loss, confusion = op(z * 2.0, y, **options)
        return loss.sum() * 3.0, confusion

    compiled = torch.compile(step, fullgraph=True, dynamic=True, backend="aot_eager")
    # the first sizes all differ, as the compiler takes equal ones for the same symbol
    for size in ((2, 8, 10, 14), (5, 12, 22, 26), (7, 18, 8, 34)):
        labels = torch.randint(0, 3, size)
        low = size[1:] if op is voxel_cross_entropy else tuple(n // 2 for n in size[1:])
        logits = torch.randn(size[0], 3, *low, requires_grad=True)
        eager = step(logits, labels)
        ours = compiled(logits, labels)
        torch.testing.assert_close(ours[0], eager[0])
        assert torch.equal(ours[1], eager[1])
        (expected,) = torch.autograd.grad(eager[0], logits)
        (gradient,) = torch.autograd.grad(ours[0], logits)
        torch.testing.assert_close(gradient, expected)
        torch.compiler.set_stance("fail_on_recompile")


def test_one_graph_predicts_every_size() -> None:
    compiled = torch.compile(
        lambda z: upsampled_argmax(z + 1.0, (2 * z.shape[2], 17)),
        fullgraph=True,
        dynamic=True,
        backend="aot_eager",
    )
    for height, width in ((5, 7), (6, 9), (11, 8)):
        low = torch.randn(2, 3, height, width)
        assert torch.equal(compiled(low), upsampled_argmax(low + 1.0, (2 * height, 17)))
        torch.compiler.set_stance("fail_on_recompile")


@pytest.mark.parametrize("memory", ["store", "recompute", "inplace"])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_autocast_under_the_compiler_keeps_16_bit_logits(memory: Any, dtype: torch.dtype) -> None:
    layer = torch.nn.Conv2d(2, 3, 3, padding=1)
    image, labels = torch.randn(1, 2, 9, 11), torch.randint(0, 3, (1, 9, 11))
    seen: list[torch.dtype] = []

    def step() -> Tensor:
        with torch.autocast("cpu", dtype=dtype):
            logits = layer(image)
            seen.append(logits.dtype)
            return voxel_cross_entropy(logits, labels, memory=memory)[0]

    step().backward()
    expected = [parameter.grad.clone() for parameter in layer.parameters()]
    layer.zero_grad()
    torch.compile(step, fullgraph=True, backend="aot_eager")().backward()
    assert seen[0] == dtype
    for parameter, gradient in zip(layer.parameters(), expected, strict=True):
        torch.testing.assert_close(parameter.grad, gradient, rtol=2e-2, atol=1e-3)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_the_default_compiler_takes_a_whole_training_step() -> None:
    network = torch.nn.Conv3d(1, 3, 3, stride=2, padding=1)
    volume = torch.randn(2, 1, 6, 9, 11)
    labels = torch.randint(0, 3, (2, 6, 9, 11))

    def step() -> Tensor:
        low = network(volume)
        dense, _ = voxel_cross_entropy(low, labels[:, ::2, ::2, ::2], memory="inplace")
        upsampled, confusion = upsampled_cross_entropy(low * 0.5, labels)
        return dense + upsampled + 0 * confusion.sum()

    def gradients(loss: Tensor) -> list[Tensor]:
        return list(torch.autograd.grad(loss, list(network.parameters())))

    low = network(volume)
    eager = voxel_cross_entropy(low, labels[:, ::2, ::2, ::2])[0]
    eager = eager + upsampled_cross_entropy(low * 0.5, labels)[0]
    compiled = torch.compile(step, fullgraph=True)()
    torch.testing.assert_close(compiled, eager)
    torch.testing.assert_close(gradients(compiled), gradients(eager), rtol=1e-4, atol=1e-6)
