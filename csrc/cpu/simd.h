// A vector of floats as wide as the instruction set that this translation unit is built for.
// All names lie in unnamed namespaces: units built for different sets must not share one copy.
#pragma once

#if defined(__AVX512F__)
#include "simd_avx512.h"
#elif defined(__AVX2__)
#include "simd_avx2.h"
#else
#include "simd_portable.h"
#endif

namespace tomolift {
namespace {

// The first n lanes of a vector, for the end of a row: what lies beyond is not touched.
template <typename Element>
inline Floats load_first(const Element* source, int64_t n) {
  if (n >= kLanes) return load(source);
  Element lanes[kLanes] = {};
  std::memcpy(lanes, source, size_t(n) * sizeof(Element));
  return load(lanes);
}

template <typename Element>
inline void store_first(Floats value, Element* target, int64_t n) {
  if (n >= kLanes) return store(value, target);
  Element lanes[kLanes];
  store(value, lanes);
  std::memcpy(target, lanes, size_t(n) * sizeof(Element));
}

// log of normal lanes >= 1, infinity or NaN; rare enough to leave to the compiler's vectoriser.
inline Floats log_at_least_one(Floats value) {
  alignas(64) float lanes[kLanes];
  store(value, lanes);
  for (int lane = 0; lane < kLanes; ++lane) lanes[lane] = log_at_least_one(lanes[lane]);
  return load(lanes);
}

}  // namespace
}  // namespace tomolift
