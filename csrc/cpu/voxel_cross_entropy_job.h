// The dense op's job: everything its kernels read and write, laid out by voxel_cross_entropy.cpp.
#pragma once

#include "isa.h"
#include "job.h"
#include "tomolift/voxel_cross_entropy.h"

namespace tomolift {

// Voxels whose losses make one partial sum: fixed, so that the loss does not depend on threads.
constexpr int64_t kDenseTile = 8192;

// Gradients of at least this many bytes are written past the caches: what comes next would find
// little of them there, and the lines need not be read first.
constexpr int64_t kStreamedBytes = int64_t(4) << 20;

struct DenseJob {
  DenseShape shape;
  CrossEntropyOptions options;
  DenseBuffers buffers;
  TargetTable table;
  int64_t tiles_per_sample;
  double gradient_scale;  // 1 / denominator for the mean
  bool streamed;          // whether the gradient is written past the caches
  double* loss_partials;  // [N * tiles_per_sample]
  Tally* tallies;         // [workers]
  void** scratch;         // [workers]: BlockScratch, then 2 x [C, kBlock] reals; or LaneScratch
};

struct TileRange {
  int64_t sample;
  int64_t begin;
  int64_t end;
};

// Unnamed, as the kernels of several instruction sets include this.
namespace {
inline TileRange tile_range(const DenseJob& job, int64_t tile) {
  const int64_t begin = tile % job.tiles_per_sample * kDenseTile;
  const int64_t end = begin + kDenseTile;
  return {tile / job.tiles_per_sample, begin, end < job.shape.voxels ? end : job.shape.voxels};
}
}  // namespace

}  // namespace tomolift

TOMOLIFT_DECLARE_KERNEL(dense_count)
TOMOLIFT_DECLARE_KERNEL(dense_count_lanes)
TOMOLIFT_DECLARE_KERNEL(dense_tile)
TOMOLIFT_DECLARE_KERNEL(dense_tile_lanes)
