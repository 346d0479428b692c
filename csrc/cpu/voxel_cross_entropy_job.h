// The dense op's job: everything its kernels read and write, laid out by voxel_cross_entropy.cpp.
#pragma once

#include "isa.h"
#include "job.h"
#include "tomolift/voxel_cross_entropy.h"

namespace tomolift {

// Voxels whose losses make one partial sum: fixed, so that the loss does not depend on threads.
constexpr int64_t kDenseTile = 8192;

struct DenseJob {
  DenseShape shape;
  CrossEntropyOptions options;
  DenseBuffers buffers;
  TargetTable table;
  int64_t tiles_per_sample;
  double gradient_scale;  // 1 / denominator for the mean
  double* loss_partials;  // [N * tiles_per_sample]
  Tally* tallies;         // [workers]
  void** scratch;         // [workers]: BlockScratch, then 2 x [C, kBlock] reals
};

}  // namespace tomolift

TOMOLIFT_DECLARE_KERNEL(dense_count)
TOMOLIFT_DECLARE_KERNEL(dense_tile)
