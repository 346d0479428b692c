// Where an output index of an up-sampling lies on the low-resolution grid, as F.interpolate has it.
#pragma once

#include "tomolift/types.h"

namespace tomolift {

enum class Sampling : int {
  kAlignCorners = 0,  // first and last samples coincide
  kHalfPixel = 1,     // align_corners=False
  kStride = 2,        // position = index / stride: where a strided convolution looked
};

struct AxisSample {
  int64_t lower;
  int64_t upper;
  double weight_upper;  // in [0, 1); the lower sample has 1 - weight_upper
};

TOMOLIFT_HOST_DEVICE static inline AxisSample sample_axis(Sampling sampling, double stride,
                                                          int64_t low_size, int64_t size,
                                                          int64_t index) {
  const double last = double(low_size - 1);
  // an axis that is not up-sampled has one neighbour, as in torch: no 0 * NaN from the next
  if (sampling == Sampling::kStride ? stride == 1.0 : size == low_size) {
    const int64_t only = index < low_size ? index : low_size - 1;
    return {only, only, 0.0};
  }
  double position = 0.0;
  if (sampling == Sampling::kAlignCorners) {
    // one division of exact integers, so that samples that coincide do so exactly
    if (size > 1) position = double(index * (low_size - 1)) / double(size - 1);
  } else if (sampling == Sampling::kHalfPixel) {
    position = (double(index) + 0.5) * (double(low_size) / double(size)) - 0.5;
    if (position < 0.0) position = 0.0;
  } else {
    position = double(index) / stride;
  }
  if (position > last) position = last;
  const int64_t lower = int64_t(position);
  const int64_t upper = lower + 1 < low_size ? lower + 1 : lower;
  return {lower, upper, upper > lower ? position - double(lower) : 0.0};
}

}  // namespace tomolift
