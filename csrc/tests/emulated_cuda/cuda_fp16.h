// __half and its conversions, by exact scaling rather than by bits: another way than the core's.
#pragma once

#include <cmath>
#include <cstdint>

#include "vectors.h"

struct alignas(2) __half {
  uint16_t bits;
};
struct alignas(4) __half2 {
  __half x, y;
};

inline float __half2float(__half value) {
  const int exponent = value.bits >> 10 & 31;
  const float mantissa = float(value.bits & 1023);
  float magnitude = std::ldexp(mantissa, -24);
  if (exponent > 0) magnitude = std::ldexp(1024.0f + mantissa, exponent - 25);
  if (exponent == 31) magnitude = mantissa > 0.0f ? NAN : INFINITY;
  return (value.bits & 0x8000u) != 0 ? -magnitude : magnitude;
}

inline __half __float2half_rn(float value) {
  const uint16_t sign = std::signbit(value) ? 0x8000u : 0u;
  const float magnitude = std::fabs(value);
  if (std::isnan(value)) return {0x7fffu};
  if (magnitude >= 65520.0f) return {uint16_t(sign | 0x7c00u)};
  int exponent = magnitude < 0x1p-14f ? -14 : std::ilogb(magnitude);
  // in steps of the last place; nearbyint rounds to even, and a carry enters the exponent's field
  const int steps = int(std::nearbyint(std::ldexp(magnitude, 10 - exponent)));
  return {uint16_t(sign | (((exponent + 14) << 10) + steps))};
}

inline __half2 __floats2half2_rn(float x, float y) {
  return {__float2half_rn(x), __float2half_rn(y)};
}
inline float2 __half22float2(__half2 pair) { return {__half2float(pair.x), __half2float(pair.y)}; }
