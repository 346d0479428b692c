// The labels of a brick, and the report of those out of range.
#pragma once

#include <type_traits>

#include "label_vectors.cuh"
#include "upsampled_cross_entropy_brick.cuh"

namespace tomolift {
namespace {

// The classes of `rows` voxels, at `position` and below it in the column; below zero where one
// takes part in nothing, and from `rows` on. A byte a lane is a whole sector a warp: wider loads
// would bring nothing here.
template <int kRows>
__device__ inline void read_truth(const BrickJob& job, const Column& column, int64_t position,
                                  int rows, int (&truth)[kRows]) {
  const int64_t width = job.shape.size[2];
  bool faulty = false;
  with_label_type(job.options.label_type, [&](auto type) {
    using Label = std::remove_const_t<std::remove_pointer_t<decltype(type)>>;
    const Label* labels = static_cast<const Label*>(job.buffers.labels) + position;
    Label label[kRows];
    // the loads first: that many are under way at a time; none needs a branch, as an outer lane
    // reads its neighbour's label, and a row too many the last one's
#pragma unroll
    for (int r = 0; r < kRows; ++r) label[r] = __ldcs(labels + min(r, rows - 1) * width);
#pragma unroll
    for (int r = 0; r < kRows; ++r) {
      truth[r] = truth_of(label[r], job.shape.classes, job.options);
      if (r >= rows || !column.inside) truth[r] = kIgnored;
      faulty = faulty || truth[r] == kOutOfRange;
    }
  });
  if (!faulty || job.buffers.fault == nullptr) return;
#pragma unroll
  for (int r = 0; r < kRows; ++r) {
    if (truth[r] != kOutOfRange) continue;
    atomicAdd(reinterpret_cast<unsigned long long*>(&job.buffers.fault->count), 1ull);
    atomicMin(reinterpret_cast<long long*>(&job.buffers.fault->first_position),
              (long long)(position + r * width));
  }
}

}  // namespace
}  // namespace tomolift
