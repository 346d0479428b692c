// The dense op's job on CUDA, as every kernel receives it, and how its work is cut up.
//
// A tile is a block's share of one sample's voxels; a group is what a thread has under way at a
// time: 16 bytes of each class. Tiles do not depend on the device, so neither do the sums.
#pragma once

#include <cuda_runtime.h>

#include "enqueue.cuh"
#include "tomolift/voxel_cross_entropy.h"

namespace tomolift {

constexpr int kDenseThreads = 256;
// 32 voxels a thread. Fewer, and a tile's beginning and end (some 200 instructions a thread) weigh
// against the 50 of each voxel; more, and the last wave of blocks leaves more of the device idle:
// 4480 tiles of (2, 70, 512, 512) are 8.5 waves of 4 blocks on each of 132 multiprocessors.
constexpr int64_t kDenseTile = 8192;
// Above this a voxel's logits no longer fit into registers.
constexpr int64_t kDenseFewClasses = 8;
// A block's own confusion matrix lies in shared memory up to this many classes (4 KiB); beyond,
// counts go to global memory one by one.
constexpr int64_t kDenseSharedClasses = 32;

// How a thread reads logits and writes gradients: in packs of 16 bytes, where sizes and addresses
// allow, of one class's voxels or of one voxel's classes; or element by element.
enum class DenseAccess : int { kPlanes, kChannelsLast, kElements };

struct DenseTotals {
  double smooth_total;  // as in TargetTerms
  double denominator;
  double scale;  // of every voxel's gradient
};

struct DenseJob {
  DenseShape shape;
  CrossEntropyOptions options;
  DenseBuffers buffers;
  int64_t tiles_per_sample;
  int64_t tiles;
  DenseAccess access;
  bool plain;  // every weight is one, nothing is smoothed, nothing is asked voxel by voxel
  // in the workspace
  float* hit;           // [C], as in TargetTerms
  float* smooth;        // [C]
  int64_t* counts;      // [C], valid voxels of each class, for the mean's gradient
  DenseTotals* totals;  // [1]
  double* partials;     // [tiles], sums of the loss
};

// The mean's gradient needs the denominator before the pass over the logits.
TOMOLIFT_HOST_DEVICE inline bool needs_label_count(const DenseJob& job) {
  return job.options.reduction == Reduction::kMean && job.buffers.gradient != nullptr &&
         job.buffers.known_denominator == nullptr;
}

// Before the pass over the logits, the pass in each type (a file each, to compile side by side),
// and after it.
cudaError_t enqueue_preparation(const DenseJob& job, cudaStream_t stream);
cudaError_t enqueue_label_count(const DenseJob& job, cudaStream_t stream);
cudaError_t enqueue_settling(const DenseJob& job, cudaStream_t stream);
cudaError_t enqueue_tiles_float32(const DenseJob& job, cudaStream_t stream);
cudaError_t enqueue_tiles_bfloat16(const DenseJob& job, cudaStream_t stream);
cudaError_t enqueue_tiles_float16(const DenseJob& job, cudaStream_t stream);
cudaError_t enqueue_finish(const DenseJob& job, cudaStream_t stream);

}  // namespace tomolift
