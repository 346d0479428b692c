"""One of two processes that share a batch; run by test_processes, which compares what they print.

Arguments: rank, number of processes, the file that they meet at.
"""

from __future__ import annotations

import json
import os
import sys
from datetime import timedelta

import torch
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel

from tomolift.ops import mean_iou, upsampled_cross_entropy, voxel_cross_entropy

OPS = (voxel_cross_entropy, upsampled_cross_entropy)


def main() -> None:
    rank, processes, meeting_point = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    torch.set_num_threads(1)
    distributed.init_process_group(
        "gloo", f"file://{meeting_point}", timedelta(seconds=60), processes, rank
    )
    torch.manual_seed(0)
    images, labels = torch.randn(4, 1, 6, 16, 16), torch.randint(0, 3, (4, 6, 16, 16))
    network = nn.Sequential(
        nn.Conv3d(1, 4, 3, padding=1), nn.Tanh(), nn.Conv3d(4, 3, 3, stride=2, padding=1)
    )
    network = network if processes == 1 else DistributedDataParallel(network)
    mine = slice(rank * 4 // processes, (rank + 1) * 4 // processes)
    matrix = torch.zeros(3, 3, dtype=torch.int64)
    losses = torch.zeros(2, dtype=torch.float64)
    for which, op in enumerate(OPS):
        low = network(images[mine])
        logits = low if op is upsampled_cross_entropy else low.repeat_interleave(2, 4)
        truth = labels[mine] if op is upsampled_cross_entropy else labels[mine, ::2, ::2]
        loss, confusion = op(logits, truth)
        loss.backward()
        losses[which] = loss.detach()
        matrix += confusion
    distributed.all_reduce(matrix)
    distributed.all_reduce(losses)
    result = {
        "matrix": matrix.tolist(),
        "mean_iou": float(mean_iou(matrix)),
        "losses": (losses / processes).tolist(),
        "gradients": [p.grad.double().flatten().tolist() for p in network.parameters()],
    }
    print(json.dumps(result))
    distributed.destroy_process_group()
    # torch 2.13 sometimes ends such a process by std::terminate after the last line of Python; 3 of
    # 60 pairs that trained by DistributedDataParallel on gloo without these ops did so, too
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
