// The up-sampled op's register path: how it cuts the work, and the scratch of one worker.
#pragma once

#include "upsampled_cross_entropy_job.h"
#include "voxel_cross_entropy_lanes.h"

namespace tomolift {

// A unit of work is every output voxel whose lower neighbours are one low-resolution slice and one
// band of this many of its rows: few enough that an image alone keeps several threads busy.
constexpr int64_t kLaneBandRows = 8;

// Output rows that are worked on at once: their losses are the log of one product.
constexpr int64_t kLaneRows = 16;

// Output columns worked on at once: two rows of two slices of 3 classes, their gradients, truths
// and predictions are 32 KiB.
constexpr int64_t kLaneColumns = 256;

// Bytes of a row of truths or predictions, with room for the last vector.
constexpr int64_t kLaneRowBytes = kLaneColumns + 64;

struct LaneRowScratch {
  alignas(64) uint8_t truth[kLaneRows * kLaneRowBytes];  // class, or 255 where there is none
  alignas(64) uint8_t prediction[kLaneRows * kLaneRowBytes];
};

// Unnamed, as the kernels of several instruction sets include this.
namespace {
inline int64_t lane_bands_of(const UpsampledShape& shape) {
  return (shape.low_size[1] + kLaneBandRows - 1) / kLaneBandRows;
}

// Floats of an up-sampled row: whole vectors, whatever their width.
inline int64_t padded_width(const UpsampledShape& shape) { return (shape.size[2] + 15) / 16 * 16; }

// A unit's share of the gradient: of two slices, each with the first row of the next band.
inline int64_t lane_partial_floats(const UpsampledShape& shape) {
  return 2 * shape.classes * (kLaneBandRows + 1) * shape.low_size[2];
}

inline int64_t lane_unit_scratch_bytes(const UpsampledShape& shape) {
  // rows up-sampled along W and their gradients, each of two rows of two slices; a row of logits
  // and what a vector reads past it
  const int64_t floats = 8 * shape.classes * padded_width(shape) + shape.low_size[2] + 16;
  return int64_t(sizeof(LaneRowScratch)) + floats * int64_t(sizeof(float));
}
}  // namespace

}  // namespace tomolift
