// The first axis of the up-sampling: low-resolution rows of one output slice, interpolated along D.
#pragma once

#include "numeric.h"
#include "upsampled_cross_entropy_job.h"

namespace tomolift {
namespace {

template <typename Real>
inline const Real* weights_of(const AxisTable& axis) {
  if constexpr (sizeof(Real) == sizeof(float)) {
    return axis.weight;
  } else {
    return axis.weight_double;
  }
}

// `rows` rows from first_row on into rows [C, kBandRows + 1, w].
template <typename Element, typename Real>
inline void interpolate_depth(const UpsampledJob& job, int64_t sample, int64_t slice,
                              int64_t first_row, int64_t rows, Real* plane) {
  const UpsampledShape& shape = job.shape;
  const int64_t lower = job.axes[0].lower[slice];
  const int64_t upper = job.axes[0].upper[slice];
  const Real weight = weights_of<Real>(job.axes[0])[slice];
  const Element* logits =
      static_cast<const Element*>(job.buffers.low_logits) + sample * shape.stride_batch;
  const int64_t stride = shape.stride_axis[2];
  for (int64_t c = 0; c < shape.classes; ++c) {
    for (int64_t r = 0; r < rows; ++r) {
      const Element* row = logits + c * shape.stride_class + (first_row + r) * shape.stride_axis[1];
      const Element* below = row + lower * shape.stride_axis[0];
      const Element* above = row + upper * shape.stride_axis[0];
      Real* out = plane + (c * (kBandRows + 1) + r) * shape.low_size[2];
      for (int64_t x = 0; x < shape.low_size[2]; ++x) {
        const Real value = to_real(below[x * stride]);
        // no 0 * inf where there is no second slice
        out[x] =
            lower == upper ? value : (1 - weight) * value + weight * to_real(above[x * stride]);
      }
    }
  }
}

}  // namespace
}  // namespace tomolift
