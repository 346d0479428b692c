// The vocabulary every op shares: element types, options and the out-of-range label report.
#pragma once

#include <cstdint>

// The one macro of the core: device compilers need the annotation, host compilers reject it.
#if defined(__CUDACC__)
#define TOMOLIFT_HOST_DEVICE __host__ __device__
#else
#define TOMOLIFT_HOST_DEVICE
#endif

namespace tomolift {

enum class LogitsType : int { kFloat32 = 0, kBFloat16 = 1, kFloat16 = 2, kFloat64 = 3 };
enum class LabelType : int { kUInt8 = 0, kInt16 = 1, kInt32 = 2, kInt64 = 3 };
enum class Reduction : int { kNone = 0, kMean = 1, kSum = 2 };

struct CrossEntropyOptions {
  LogitsType logits_type;
  LabelType label_type;
  Reduction reduction;
  bool has_ignore_index;
  int64_t ignore_index;
  double label_smoothing;  // in [0, 1]
};

// Labels outside [0, C) other than ignore_index; they take part in nothing.
struct LabelFault {
  int64_t count;
  int64_t first_position;  // flat index into labels; like the value, meaningful where count > 0
  int64_t first_value;
};

}  // namespace tomolift
