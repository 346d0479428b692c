// What the pass leaves: gradients of low-resolution columns, losses, counts.
#pragma once

#include "block_sum.cuh"
#include "tomolift/voxel_functor.h"
#include "upsampled_cross_entropy_brick.cuh"

namespace tomolift {
namespace {

// One column more than lanes, so that lanes that read different rows meet different banks.
constexpr int kStageColumns = kLanes + 1;

// The adjoint along width of a warp's corner gradients: stage[q][lane] onto the low-resolution
// columns of its tile, where q = 4 * class + corner. `out` is [kClasses, 4, span].
template <int kClasses>
__device__ inline void spread_width(const BrickJob& job, const Brick& brick,
                                    const float (*stage)[kStageColumns], bool add, float* out) {
  const CudaAxis& axis = job.axes[2];
  const int base = axis.lower[brick.first_column];
  const int last = min(brick.first_column + kLanes, int(job.shape.size[2]));
  for (int entry = int(threadIdx.x) % kLanes; entry < 4 * job.span; entry += kLanes) {
    const int corner = entry / job.span;
    const int column = base + entry % job.span;
    if (column >= job.shape.low_size[2]) continue;
    // the columns that have this one above them, then those that have it below
    const int begin = max(axis.first[max(column - 1, 0)], brick.first_column);
    const int middle = axis.first[column];
    const int end = min(axis.first[column + 1], last);
    float sum[kClasses] = {};
    for (int x = begin; x < end; ++x) {
      const float weight = x < middle ? axis.weight[x] : 1.0f - axis.weight[x];
#pragma unroll
      for (int c = 0; c < kClasses; ++c) {
        sum[c] = fmaf(weight, stage[4 * c + corner][x - brick.first_column], sum[c]);
      }
    }
#pragma unroll
    for (int c = 0; c < kClasses; ++c) {
      float* slot = out + int64_t(4 * c) * job.span + entry;
      *slot = add ? *slot + sum[c] : sum[c];
    }
  }
}

// What a voxel's gradient is multiplied with before any sum.
__device__ inline float voxel_scale(const BrickJob& job, int64_t position) {
  float scale = job.divide_by_zero ? float(mean_of(1.0, job.totals->denominator)) : 1.0f;
  if (job.buffers.grad_output_per_voxel) {
    scale *= static_cast<const float*>(job.buffers.grad_output)[position];
  }
  return scale;
}

__device__ inline void store_loss(const BrickJob& job, int64_t position, float loss) {
  if (job.options.reduction != Reduction::kNone || job.buffers.loss == nullptr) return;
  static_cast<float*>(job.buffers.loss)[position] = loss;
}

// The end of every block of the pass: its sum of losses, and the counts of its own matrix.
__device__ inline void store_block(const BrickJob& job, double loss, const unsigned int* matrix,
                                   int entries) {
  const double sum = sum_block<kBrickThreads>(loss);  // waits for the counts, too
  if (threadIdx.x == 0 && job.loss_partials != nullptr) job.loss_partials[blockIdx.x] = sum;
  if (job.confusion == nullptr) return;
  for (int entry = threadIdx.x; entry < entries; entry += kBrickThreads) {
    if (matrix[entry] == 0) continue;
    atomicAdd(reinterpret_cast<unsigned long long*>(&job.confusion[entry]),
              (unsigned long long)(matrix[entry]));
  }
}

}  // namespace
}  // namespace tomolift
