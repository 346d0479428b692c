// The up-sampled op's job on CUDA, as every kernel receives it, and how its work is cut up.
//
// Output voxels that lie between the same low-resolution slices and rows form a cell; a warp takes
// the cell's voxels in 32 neighbouring columns, a brick. A lane walks down its column with the
// cell's corner values and their gradients in registers, so that interpolation and its adjoint
// along depth and height cost a few instructions a voxel, and those along width next to nothing.
#pragma once

#include <cuda_runtime.h>

#include "enqueue.cuh"
#include "tomolift/upsampled_cross_entropy.h"

namespace tomolift {

constexpr int kLanes = 32;
// Warps of a block. They share nothing but the counts and the sum at the end.
constexpr int kBrickWarps = 4;
constexpr int kBrickThreads = kBrickWarps * kLanes;
// Slices or rows of a cell that one brick takes; beyond, a cell is cut into pieces of equal size,
// so that an image up-sampled from very few samples still keeps the device busy.
constexpr int64_t kLongestRun = 16;

// Where the output indices of one axis lie on the low-resolution grid.
struct CudaAxis {
  int32_t* lower;  // [size], the neighbour below
  float* weight;   // [size], of the neighbour above
  int32_t* first;  // [low_size + 1], the first output index whose lower is at least this
};

struct BrickTotals {
  double smooth_total;
  double denominator;
  double gradient_scale;  // of the gathered sums
};

struct BrickJob {
  UpsampledShape shape;
  CrossEntropyOptions options;
  UpsampledBuffers buffers;
  bool plain;  // every weight is one, nothing is smoothed, nothing is asked voxel by voxel
  // The pass again with each voxel's gradient divided by a denominator of zero, and nothing else
  // computed: 1 / 0 is for the valid voxels alone, and the first pass's sums do not tell which.
  bool divide_by_zero;
  int64_t pieces[2];  // of a cell, along depth and height
  int64_t tiles;      // of an output row, 32 columns each
  int span;           // low-resolution columns that the columns of a tile have as neighbours
  int64_t bricks;
  // in the workspace
  CudaAxis axes[3];
  const float* low;          // [N, C, d, h, w], contiguous: the caller's, or converted into
  float* low_copy;           // the workspace; null where it is the caller's
  float* hit;                // [C], as in TargetTerms
  float* smooth;             // [C]
  BrickTotals* totals;       // [1]
  int64_t* confusion;        // [C, C], the caller's or the workspace's; null where nobody asks
  double* loss_partials;     // [blocks]
  float* gradient_partials;  // [bricks, C, 4 corners, span]; null without a gradient
};

TOMOLIFT_HOST_DEVICE inline int64_t low_voxels_of(const UpsampledShape& shape) {
  return shape.low_size[0] * shape.low_size[1] * shape.low_size[2];
}

inline int64_t blocks_of(const BrickJob& job) {
  return (job.bricks + kBrickWarps - 1) / kBrickWarps;
}

// Above this the corners of a cell no longer fit into registers.
constexpr int64_t kFewClasses = 8;

// What comes before the pass over the voxels, the pass (one of the three), and what comes after.
cudaError_t enqueue_brick_preparation(const BrickJob& job, cudaStream_t stream);
cudaError_t enqueue_bricks_of_few_classes(const BrickJob& job, cudaStream_t stream);
cudaError_t enqueue_bricks_of_many_classes(const BrickJob& job, cudaStream_t stream);
cudaError_t enqueue_brick_argmax(const BrickJob& job, cudaStream_t stream);
cudaError_t enqueue_brick_settling(const BrickJob& job, cudaStream_t stream);
cudaError_t enqueue_brick_gathering(const BrickJob& job, cudaStream_t stream);

}  // namespace tomolift
