"""What scaling a stored gradient in place on CUDA rests on, and no documentation promises."""

from __future__ import annotations

from typing import Any

import pytest
import torch


class Asked(torch.autograd.Function):
    """The identity; its backward pass notes whether torch says that the graph is kept."""

    @staticmethod
    def forward(ctx: Any, value: torch.Tensor, answers: list[bool]) -> torch.Tensor:
        ctx.answers = answers
        return value.clone()

    @staticmethod
    def backward(ctx: Any, *grad_outputs: torch.Tensor) -> Any:
        ctx.answers.append(torch._C._autograd._get_current_graph_task_keep_graph())
        return grad_outputs[0], None


@pytest.mark.parametrize(
    ("options", "kept"),
    [({}, False), ({"retain_graph": True}, True), ({"create_graph": True}, True)],
)
def test_torch_tells_a_backward_pass_whether_its_graph_is_kept(
    options: dict[str, bool], kept: bool
) -> None:
    answers: list[bool] = []
    leaf = torch.ones(2, requires_grad=True)
    torch.autograd.grad(Asked.apply(leaf, answers).sum(), leaf, **options)
    assert answers == [kept]
