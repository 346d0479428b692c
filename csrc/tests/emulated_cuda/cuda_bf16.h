// __nv_bfloat16 and its conversions, by exact scaling rather than by bits: another way than the
// core's.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

#include "vectors.h"

struct alignas(2) __nv_bfloat16 {
  uint16_t bits;
};
struct alignas(4) __nv_bfloat162 {
  __nv_bfloat16 x, y;
};

inline float __bfloat162float(__nv_bfloat16 value) {
  const uint32_t bits = uint32_t(value.bits) << 16;
  float result;
  std::memcpy(&result, &bits, sizeof result);
  return result;
}

inline __nv_bfloat16 __float2bfloat16_rn(float value) {
  if (std::isnan(value)) return {0x7fffu};
  float rounded = value;
  if (std::isfinite(value) && value != 0.0f) {
    // to 8 significant bits, or to the spacing of the subnormals; past the largest it overflows
    const int exponent = std::fabs(value) < 0x1p-126f ? -126 : std::ilogb(value);
    const double steps = std::nearbyint(std::ldexp(double(value), 7 - exponent));
    rounded = float(std::ldexp(steps, exponent - 7));
  }
  uint32_t bits;
  std::memcpy(&bits, &rounded, sizeof bits);
  return {uint16_t(bits >> 16)};
}

inline __nv_bfloat162 __floats2bfloat162_rn(float x, float y) {
  return {__float2bfloat16_rn(x), __float2bfloat16_rn(y)};
}
inline float2 __bfloat1622float2(__nv_bfloat162 pair) {
  return {__bfloat162float(pair.x), __bfloat162float(pair.y)};
}
