"""Calls the ops in DataLoader workers and in their parent at the same time; run by test_workers."""

from __future__ import annotations

import sys

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from tomolift.ops import upsampled_argmax, upsampled_cross_entropy, voxel_cross_entropy

SIZE = (260, 300)  # enough voxels for the ops to use threads


class Scores(Dataset[Tensor]):
    """Losses and matrices of problems made from their index."""

    def __len__(self) -> int:
        return 12

    def __getitem__(self, index: int) -> Tensor:
        return scores(index)


def scores(index: int) -> Tensor:
    """Everything that the ops say of one problem, the sums of their gradients included."""
    position = torch.arange(3 * SIZE[0] * SIZE[1], dtype=torch.float64)
    logits = torch.sin(position * (index + 1)).float().reshape(1, 3, *SIZE).requires_grad_()
    labels = (position[: SIZE[0] * SIZE[1]].long() * (index + 7) % 3).reshape(1, *SIZE)
    low = logits.detach()[:, :, ::13, ::13].contiguous().requires_grad_()
    results = []
    # for the ops alone: a forked worker has none of the threads that torch's OpenMP counts on
    torch.set_num_threads(2)
    for op, leaf in ((voxel_cross_entropy, logits), (upsampled_cross_entropy, low)):
        loss, confusion = op(leaf, labels)
        (gradient,) = torch.autograd.grad(loss, leaf)
        results += [loss.detach().reshape(1), confusion.flatten(), gradient.flatten()[:50]]
    predicted = upsampled_argmax(low, SIZE)
    torch.set_num_threads(1)
    return torch.cat([piece.double() for piece in [*results, predicted.sum().reshape(1)]])


def main() -> None:
    torch.set_num_threads(1)
    expected = [scores(index) for index in range(12)]  # the parent's pool has its threads by now
    loader = DataLoader(
        Scores(),
        batch_size=None,
        num_workers=2,
        multiprocessing_context=sys.argv[1],
        persistent_workers=True,
        timeout=60,
    )
    for _ in range(2):
        for index, found in enumerate(loader):
            assert torch.equal(found, expected[index]), f"item {index} of a worker"
            assert torch.equal(scores(index), expected[index]), f"item {index} of the parent"
    print("the same")


if __name__ == "__main__":
    main()
