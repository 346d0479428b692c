// Counting confusions from one byte a voxel, for up to eight classes.
#pragma once

#include "simd.h"

namespace tomolift {
namespace {

// truth becomes truth * C + prediction; 255, where there is no truth, becomes 248 or more, which is
// no entry of the matrix.
template <int kClasses>
inline void count_confusion_bytes(int64_t n, uint8_t* __restrict truth,
                                  const uint8_t* __restrict prediction, int64_t* confusion) {
  for (int64_t i = 0; i < n; ++i) {
    uint8_t code = prediction[i];
    for (int c = 0; c < kClasses; ++c) code = uint8_t(code + truth[i]);
    truth[i] = code;
  }
  for (int entry = 0; entry < kClasses * kClasses; ++entry) {
    confusion[entry] += count_bytes(truth, n, uint8_t(entry));
  }
}

}  // namespace
}  // namespace tomolift
