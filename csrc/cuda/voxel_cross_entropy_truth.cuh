// The labels of a group of voxels, and what becomes of those that take part in nothing.
#pragma once

#include "label_vectors.cuh"
#include "voxel_cross_entropy_group.cuh"

namespace tomolift {
namespace {

template <typename Traits>
__device__ inline void report_faults(LabelFault* fault, const DenseGroup& group,
                                     const int (&truth)[Traits::kVoxels]) {
  int count = 0;
  int first = 0;
#pragma unroll
  for (int k = Traits::kVoxels - 1; k >= 0; --k) {
    count += truth[k] == kOutOfRange;
    first = truth[k] == kOutOfRange ? k : first;
  }
  atomicAdd(reinterpret_cast<unsigned long long*>(&fault->count), (unsigned long long)(count));
  atomicMin(reinterpret_cast<long long*>(&fault->first_position),
            (long long)(group.position + int64_t(first) * Traits::kStep));
}

// The class of each voxel, below zero where it takes part in nothing; returns whether any is.
template <typename Traits>
__device__ inline bool load_truth(const DenseJob& job, const DenseGroup& group,
                                  int (&truth)[Traits::kVoxels]) {
  with_label_type(job.options.label_type, [&](auto type) {
    using Label = std::remove_const_t<std::remove_pointer_t<decltype(type)>>;
    const Label* labels = static_cast<const Label*>(job.buffers.labels) + group.position;
    Label label[Traits::kVoxels] = {};
    if constexpr (Traits::kPacks) {
      load_label_vector(labels, label);
    } else {
#pragma unroll
      for (int k = 0; k < Traits::kVoxels; ++k) {
        if (holds<Traits>(group, k)) label[k] = __ldg(labels + k * Traits::kStep);
      }
    }
#pragma unroll
    for (int k = 0; k < Traits::kVoxels; ++k) {
      truth[k] = truth_of(label[k], job.shape.classes, job.options);
      if (!holds<Traits>(group, k)) truth[k] = kIgnored;
    }
  });
  int lowest = truth[0];
#pragma unroll
  for (int k = 1; k < Traits::kVoxels; ++k) lowest = min(lowest, truth[k]);
  if (lowest == kOutOfRange && job.buffers.fault != nullptr) {
    report_faults<Traits>(job.buffers.fault, group, truth);
  }
  return lowest < 0;
}

// Zeros in place of the logits that take part in nothing, which may be NaN.
template <typename Traits, int kClasses>
__device__ inline void blank_words(const int (&truth)[Traits::kVoxels],
                                   uint32_t (&words)[4 * kClasses]) {
#pragma unroll
  for (int unit = 0; unit < Traits::kUnits; ++unit) {
    float z[Traits::kUnitVoxels][kClasses];
    read_unit<Traits, kClasses>(words, unit, z);
#pragma unroll
    for (int i = 0; i < Traits::kUnitVoxels; ++i) {
      const bool valid = truth[unit * Traits::kUnitVoxels + i] >= 0;
#pragma unroll
      for (int c = 0; c < kClasses; ++c) z[i][c] = valid ? z[i][c] : 0.0f;
    }
    write_unit<Traits, kClasses>(z, unit, words);
  }
}

}  // namespace
}  // namespace tomolift
