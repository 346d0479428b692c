// The pass over the output voxels for few classes.
//
// For three classes and uint8 labels sm_90's code has 73 instructions a voxel, five of them on the
// unit for exponentials, and some 650 a brick: at (1, 3, 9, 64, 64) -> (70, 512, 512) that is 48
// million warp instructions, 52 us on the 528 schedulers of an H200 at 1.75 GHz if each issued
// every cycle. The 18 MB of labels take 4 us, the 2.7 MB of partial gradients less than one: the
// pass is bound by instructions, not by bytes.
#include "upsampled_cross_entropy_walk.cuh"

namespace tomolift {
namespace {

// Blocks of 128 threads on a multiprocessor of 65536 registers: as many as leave none to spill.
template <int kClasses>
constexpr int kResidentBlocks = kClasses == 1   ? 6
                                : kClasses <= 3 ? 5
                                : kClasses <= 5 ? 4
                                                : 3;

template <int kClasses, bool kPlain>
__global__ void __launch_bounds__(kBrickThreads, kResidentBlocks<kClasses>)
    run_few_classes(const __grid_constant__ BrickJob job) {
  __shared__ float stage[kBrickWarps][4 * kClasses][kStageColumns];
  __shared__ unsigned int matrix[kClasses * kClasses];
  if (job.divide_by_zero && job.totals->denominator != 0.0) return;
  if (threadIdx.x < kClasses * kClasses) matrix[threadIdx.x] = 0;
  __syncthreads();
  const int warp = int(threadIdx.x) / kLanes;
  const int64_t index = int64_t(blockIdx.x) * kBrickWarps + warp;
  double loss = 0.0;
  if (index < job.bricks) {
    const Brick brick = find_brick(job, (unsigned int)(index));
    ColumnWalk<kClasses, kPlain> walk(job, brick, matrix);
    loss = kPlain && walk.finite() ? walk.template run<true>() : walk.template run<false>();
    if (job.gradient_partials != nullptr) {
      walk.store(stage[warp], job.gradient_partials + index * 4 * kClasses * job.span);
    }
  }
  store_block(job, loss, matrix, kClasses * kClasses);
}

template <int kClasses>
cudaError_t enqueue_classes(const BrickJob& job, cudaStream_t stream) {
  const auto kernel =
      job.plain ? run_few_classes<kClasses, true> : run_few_classes<kClasses, false>;
  return enqueue(kernel, blocks_of(job), kBrickThreads, stream, job);
}

}  // namespace

cudaError_t enqueue_bricks_of_few_classes(const BrickJob& job, cudaStream_t stream) {
  switch (job.shape.classes) {
    case 1:
      return enqueue_classes<1>(job, stream);
    case 2:
      return enqueue_classes<2>(job, stream);
    case 3:
      return enqueue_classes<3>(job, stream);
    case 4:
      return enqueue_classes<4>(job, stream);
    case 5:
      return enqueue_classes<5>(job, stream);
    case 6:
      return enqueue_classes<6>(job, stream);
    case 7:
      return enqueue_classes<7>(job, stream);
    case 8:
      return enqueue_classes<8>(job, stream);
    default:
      return cudaErrorInvalidValue;
  }
}

}  // namespace tomolift
