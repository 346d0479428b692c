// Predictions alone: each brick class by class, nothing but the output written.
#include "tomolift/voxel_functor.h"
#include "upsampled_cross_entropy_brick.cuh"

namespace tomolift {
namespace {

// Output rows whose maxima lie in registers: the usual eight between two low-resolution rows.
constexpr int kRows = 8;

__device__ inline void predict_rows(const BrickJob& job, const Brick& brick, const Column& column,
                                    const CornerRows& corners, int slice, int first_row) {
  // 1 load
  const float above = job.axes[0].weight[slice];
  const int rows = min(kRows, brick.end[1] - first_row);
  float weights[kRows];
  float best[kRows];
  int prediction[kRows];
#pragma unroll
  for (int r = 0; r < kRows; ++r) {
    weights[r] = job.axes[1].weight[min(first_row + r, brick.end[1] - 1)];
  }
  // 2 compute
  for (int c = 0; c < job.shape.classes; ++c) {
    const float lower = corners.on_row(0, c, brick.flat, above);
    const float upper = corners.on_row(1, c, brick.flat, above);
#pragma unroll
    for (int r = 0; r < kRows; ++r) {
      const float z = interpolate(lower, upper, weights[r]);
      const bool wins = c == 0 || beats(z, best[r]);
      best[r] = wins ? z : best[r];
      prediction[r] = wins ? c : prediction[r];
    }
  }
  // 3 store
  if (!column.inside) return;
  const int64_t width = job.shape.size[2];
  uint8_t* out =
      job.buffers.predictions +
      ((brick.sample * job.shape.size[0] + slice) * job.shape.size[1] + first_row) * width +
      column.x;
#pragma unroll
  for (int r = 0; r < kRows; ++r) {
    if (r < rows) __stcs(out + r * width, uint8_t(prediction[r]));
  }
}

__global__ void __launch_bounds__(kBrickThreads) run_argmax(const __grid_constant__ BrickJob job) {
  const int64_t index = int64_t(blockIdx.x) * kBrickWarps + threadIdx.x / kLanes;
  if (index >= job.bricks) return;
  const Brick brick = find_brick(job, (unsigned int)(index));
  const Column column = find_column(job, brick);
  const CornerRows corners(job, brick, column);
  for (int slice = brick.begin[0]; slice < brick.end[0]; ++slice) {
    for (int row = brick.begin[1]; row < brick.end[1]; row += kRows) {
      predict_rows(job, brick, column, corners, slice, row);
    }
  }
}

}  // namespace

cudaError_t enqueue_brick_argmax(const BrickJob& job, cudaStream_t stream) {
  return enqueue(run_argmax, blocks_of(job), kBrickThreads, stream, job);
}

}  // namespace tomolift
