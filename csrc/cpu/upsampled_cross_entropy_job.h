// The up-sampled op's job: axis tables, partial results and scratch of its kernels.
#pragma once

#include "isa.h"
#include "job.h"
#include "tomolift/upsampled_cross_entropy.h"

namespace tomolift {

// Low-resolution rows whose output rows make one unit of work: small enough that an image alone
// keeps several threads busy, large enough that the row shared with the next unit costs little.
constexpr int64_t kBandRows = 16;

// Per output index of one axis: the two low-resolution neighbours and the upper one's weight.
struct AxisTable {
  int32_t* lower;
  int32_t* upper;
  float* weight;
  double* weight_double;
};

struct UpsampledJob {
  UpsampledShape shape;
  CrossEntropyOptions options;
  UpsampledBuffers buffers;
  TargetTable table;
  AxisTable axes[3];
  int64_t bands;
  double voxel_scale;       // of each valid voxel's gradient, before any sum
  double gradient_scale;    // of the sums, 1 / denominator for the mean
  double* loss_partials;    // [N, D, bands]
  void* gradient_partials;  // [N, D, bands, C, kBandRows + 1, w] reals, not yet summed over D
  Tally* tallies;           // [workers]
  void** scratch;           // [workers], what UnitScratch cuts into its arrays
};

}  // namespace tomolift

TOMOLIFT_DECLARE_KERNEL(upsampled_unit)
TOMOLIFT_DECLARE_KERNEL(upsampled_gather)
