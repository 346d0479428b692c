// The up-sampled op's job: axis tables, partial results and scratch of its kernels.
#pragma once

#include "isa.h"
#include "job.h"
#include "tomolift/upsampled_cross_entropy.h"

namespace tomolift {

// Low-resolution rows whose output rows in one slice make one unit of work: small enough that an
// image alone keeps several threads busy, large enough that the row shared with the next unit costs
// little.
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
  double voxel_scale;     // of each valid voxel's gradient, before any sum
  double gradient_scale;  // of the sums, 1 / denominator for the mean
  double* loss_partials;  // [N, D, bands]
  // reals by unit, not yet summed: [N, D, bands, C, kBandRows + 1, w], in the register path
  // [N, d, bands, 2, C, kLaneBandRows + 1, w]
  void* gradient_partials;
  Tally* tallies;  // [workers]
  void** scratch;  // [workers], what UnitScratch or LaneUnit cuts into its arrays
};

}  // namespace tomolift

TOMOLIFT_DECLARE_KERNEL(upsampled_unit)
TOMOLIFT_DECLARE_KERNEL(upsampled_unit_lanes)
TOMOLIFT_DECLARE_KERNEL(upsampled_gather)
TOMOLIFT_DECLARE_KERNEL(upsampled_gather_lanes)
