// Labels as they lie in memory, in the widest loads that fit.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>
#include <cstring>
#include <type_traits>

#include "tomolift/types.h"

namespace tomolift {
namespace {

template <int kBytes>
struct WordOf;
template <>
struct WordOf<4> {
  using Type = unsigned int;
};
template <>
struct WordOf<8> {
  using Type = uint2;
};
template <>
struct WordOf<16> {
  using Type = uint4;
};

// kCount labels whose first lies on as many bytes as they have, at most on 16.
template <int kCount, typename Label>
__device__ inline void load_label_vector(const Label* labels, Label (&out)[kCount]) {
  constexpr int kBytes = kCount * int(sizeof(Label));
  constexpr int kWordBytes = kBytes < 16 ? kBytes : 16;
  using Word = typename WordOf<kWordBytes>::Type;
  Word words[kBytes / kWordBytes];
#pragma unroll
  for (int i = 0; i < kBytes / kWordBytes; ++i) {
    words[i] = __ldg(reinterpret_cast<const Word*>(labels) + i);
  }
  memcpy(out, words, kBytes);
}

// Calls visit(a null pointer of the labels' type), once.
template <typename Visit>
__device__ inline void with_label_type(LabelType type, Visit visit) {
  switch (type) {
    case LabelType::kUInt8:
      return visit(static_cast<const uint8_t*>(nullptr));
    case LabelType::kInt16:
      return visit(static_cast<const int16_t*>(nullptr));
    case LabelType::kInt32:
      return visit(static_cast<const int32_t*>(nullptr));
    case LabelType::kInt64:
      return visit(static_cast<const int64_t*>(nullptr));
  }
}

constexpr int kIgnored = -1;
constexpr int kOutOfRange = -2;

// The class, or one of the two above.
template <typename Label>
__device__ inline int truth_of(Label label, int64_t classes, const CrossEntropyOptions& options) {
  // narrow types are compared in 32 bits, where an ignore_index that does not fit matches nothing
  using Wide = decltype(label + 0);
  using Unsigned = std::make_unsigned_t<Wide>;
  const Wide value = label;
  const Wide ignored = Wide(options.ignore_index);
  const bool can_match = options.has_ignore_index && int64_t(ignored) == options.ignore_index;
  const bool known = Unsigned(value) < Unsigned(classes);
  const int truth = known ? int(value) : kOutOfRange;
  return can_match && value == ignored ? kIgnored : truth;
}

}  // namespace
}  // namespace tomolift
