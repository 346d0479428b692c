from collections.abc import Sequence

cuda_built: bool
cuda_architectures: str
cpu_isas_built: str
compiler: str

class CrossEntropyOptions:
    def __init__(
        self,
        logits_type: int,
        label_type: int,
        reduction: int,
        has_ignore_index: bool,
        ignore_index: int,
        label_smoothing: float,
    ) -> None: ...

def cpu_isa() -> str: ...
def advise_huge_pages(begin: int, bytes: int) -> None: ...
def dense_cpu_workspace(shape: Sequence[int], threads: int) -> int: ...
def dense_cpu(
    shape: Sequence[int],
    options: CrossEntropyOptions,
    addresses: Sequence[int],
    grad_output_per_voxel: bool,
    threads: int,
) -> None: ...
def dense_cuda_workspace(shape: Sequence[int]) -> int: ...
def dense_cuda(
    shape: Sequence[int],
    options: CrossEntropyOptions,
    addresses: Sequence[int],
    grad_output_per_voxel: bool,
    stream: int,
) -> None: ...
def upsampled_cpu_workspace(
    shape: Sequence[int],
    sampling: int,
    stride: Sequence[float],
    options: CrossEntropyOptions,
    want_gradient: bool,
    threads: int,
) -> int: ...
def upsampled_cpu(
    shape: Sequence[int],
    sampling: int,
    stride: Sequence[float],
    options: CrossEntropyOptions,
    addresses: Sequence[int],
    grad_output_per_voxel: bool,
    predictions: int,
    threads: int,
) -> None: ...
def upsampled_cuda_workspace(
    shape: Sequence[int],
    sampling: int,
    stride: Sequence[float],
    options: CrossEntropyOptions,
    want_gradient: bool,
) -> int: ...
def upsampled_cuda(
    shape: Sequence[int],
    sampling: int,
    stride: Sequence[float],
    options: CrossEntropyOptions,
    addresses: Sequence[int],
    grad_output_per_voxel: bool,
    predictions: int,
    stream: int,
) -> None: ...
def scale_gradient_cuda(
    logits_type: int, count: int, factor: int, gradient: int, out: int, stream: int
) -> None: ...
