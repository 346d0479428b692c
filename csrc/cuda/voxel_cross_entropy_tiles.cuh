// The pass over the logits for at most eight classes: one tile a block, logits in registers.
#pragma once

#include "block_sum.cuh"
#include "confusion_counts.cuh"
#include "voxel_cross_entropy_group.cuh"
#include "voxel_cross_entropy_truth.cuh"
#include "voxel_cross_entropy_voxel.cuh"

namespace tomolift {
namespace {

// Blocks of a multiprocessor, hence the registers of a thread (4: 64, 3: 80, 2: 128, 1: 255): as
// many as leave no kernel spilling. Memory wants about 30 KB under way in each multiprocessor (4.8
// TB/s for 0.8 us, over 132); of three classes 4 blocks have 48 KB, 3 have 36 KB.
template <typename Traits>
constexpr int blocks_of(int classes, bool plain) {
  const int blocks = classes <= 3 ? 3 : (classes <= 4 ? 2 : 1);
  if (Traits::kPacks && Traits::kUnitVoxels == 1) return blocks + 1;
  return blocks > 1 && Traits::kPacks && !plain ? blocks - 1 : blocks;
}

template <typename Traits, int kClasses, bool kPlain>
__global__ void __launch_bounds__(kDenseThreads, blocks_of<Traits>(kClasses, kPlain))
    run_tiles(DenseJob job) {
  constexpr int kVoxels = Traits::kVoxels;
  constexpr int kUnitVoxels = Traits::kUnitVoxels;
  using Counts = ConfusionCounts<kClasses>;
  static_assert(kDenseTile / kDenseThreads <= Counts::kMost, "one flush a tile");
  __shared__ unsigned int matrix[kClasses * kClasses];
  __shared__ float hit[kClasses];
  __shared__ float smooth[kClasses];
  if (threadIdx.x < kClasses * kClasses) matrix[threadIdx.x] = 0;
  if (!kPlain && threadIdx.x < kClasses) {
    hit[threadIdx.x] = job.hit[threadIdx.x];
    smooth[threadIdx.x] = job.smooth[threadIdx.x];
  }
  __syncthreads();
  const DenseBuffers& buffers = job.buffers;
  const DenseTables tables{hit, smooth, float(job.totals->smooth_total),
                           job.options.label_smoothing > 0.0};
  const float scale = float(job.totals->scale);
  const float* scales = nullptr;
  if (!kPlain && buffers.grad_output_per_voxel) {
    scales = static_cast<const float*>(buffers.grad_output);
  }
  float* losses = nullptr;
  if (!kPlain && job.options.reduction == Reduction::kNone) {
    losses = static_cast<float*>(buffers.loss);
  }
  Counts counts;
  double loss = 0.0;
  DenseGroup group = first_group<Traits, kClasses>(job, blockIdx.x);
#pragma unroll 1
  for (; group.left > 0; advance<Traits, kClasses>(job, group)) {
    // 1 load: the logits, then the labels, and only then what waits for either
    uint32_t words[4 * kClasses];
    int truth[kVoxels];
    load_words<Traits, kClasses>(job, group, words);
    const bool some_left_out = load_truth<Traits>(job, group, truth);
    if (some_left_out) blank_words<Traits, kClasses>(truth, words);
    // 2 compute; the words become the gradient's
    float group_loss = 0.0f;
    float sums = 1.0f;  // their product, at most 8^8: one logarithm a group
#pragma unroll
    for (int unit = 0; unit < Traits::kUnits; ++unit) {
      float z[kUnitVoxels][kClasses];
      read_unit<Traits, kClasses>(words, unit, z);
#pragma unroll
      for (int i = 0; i < kUnitVoxels; ++i) {
        const int k = unit * kUnitVoxels + i;
        const int64_t position = group.position + k * Traits::kStep;
        const bool inside = holds<Traits>(group, k);
        const float voxel_scale = scales != nullptr && inside ? scales[position] : scale;
        const DenseVoxel voxel =
            evaluate_voxel<kClasses, kPlain>(z[i], truth[k], voxel_scale, tables);
        if (buffers.confusion != nullptr) counts.add(matrix, truth[k], voxel.prediction);
        if (losses != nullptr && inside) losses[position] = voxel.loss;
        group_loss += voxel.loss;
        sums *= voxel.sum;
      }
      write_unit<Traits, kClasses>(z, unit, words);
    }
    loss += double(kPlain ? logf(sums) + group_loss : group_loss);
    // 3 store
    if (buffers.gradient != nullptr) store_words<Traits, kClasses>(job, group, words);
  }
  counts.flush(matrix);
  const double total = sum_block<kDenseThreads>(loss);  // its barrier completes the matrix
  if (threadIdx.x == 0) job.partials[blockIdx.x] = total;
  if (buffers.confusion == nullptr || threadIdx.x >= kClasses * kClasses) return;
  if (matrix[threadIdx.x] == 0) return;
  atomicAdd(reinterpret_cast<unsigned long long*>(&buffers.confusion[threadIdx.x]),
            (unsigned long long)(matrix[threadIdx.x]));
}

}  // namespace
}  // namespace tomolift
