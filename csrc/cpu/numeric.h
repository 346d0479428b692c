// Element conversions, exp and log in plain code that the compiler turns into vectors.
// Included by translation units built for different instruction sets: hence the unnamed namespace,
// which keeps the linker from sharing one copy between them.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

namespace tomolift {
namespace {

struct BFloat16 {
  uint16_t bits;
};
struct Float16 {
  uint16_t bits;
};

inline uint32_t bits_of(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  return bits;
}

inline float float_of(uint32_t bits) {
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

inline float to_real(float value) { return value; }
inline double to_real(double value) { return value; }
inline float to_real(BFloat16 value) { return float_of(uint32_t(value.bits) << 16); }

inline float to_real(Float16 value) {
  const uint32_t magnitude = uint32_t(value.bits & 0x7fffu) << 13;
  // 2^112 moves half's exponent bias to float's; subnormal halves come out normal
  const uint32_t finite = bits_of(float_of(magnitude) * 0x1p112f);
  const uint32_t bits = magnitude >= (0x7c00u << 13) ? (magnitude | 0x7f800000u) : finite;
  return float_of(bits | (uint32_t(value.bits & 0x8000u) << 16));
}

inline void from_real(float value, float& out) { out = value; }
inline void from_real(double value, double& out) { out = value; }

inline void from_real(float value, BFloat16& out) {
  const uint32_t bits = bits_of(value);
  const uint32_t rounded =
      (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;  // to nearest, ties to even
  out.bits = uint16_t(value != value ? 0x7fc0u : rounded);
}

inline void from_real(float value, Float16& out) {
  const uint32_t bits = bits_of(value);
  const uint32_t sign = (bits >> 16) & 0x8000u;
  const uint32_t magnitude = bits & 0x7fffffffu;
  // below 2^-14 adding 0.5 lets the float adder round to half's subnormal spacing
  const uint32_t subnormal = bits_of(float_of(magnitude) + 0.5f) - 0x3f000000u;
  const uint32_t normal = (magnitude - 0x38000000u + 0xfffu + ((magnitude >> 13) & 1u)) >> 13;
  uint32_t half = magnitude < 0x38800000u ? subnormal : normal;
  half = magnitude >= 0x477ff000u ? 0x7c00u : half;  // 65520 and above round to infinity
  half = magnitude > 0x7f800000u ? 0x7e00u : half;
  out.bits = uint16_t(sign | half);
}

// exp(x) for x <= 0 or NaN: 2^n times cephes' degree-7 polynomial, 1 ulp; below -87 it is 0, which
// is below float's normal range.
inline float exp_nonpositive(float x) {
  const float clamped = x < -87.0f ? -87.0f : x;
  // adding 1.5 * 2^23 rounds to an integer and leaves it in the low mantissa bits
  const float shifted = clamped * 1.44269504088896341f + 12582912.0f;
  const float n = shifted - 12582912.0f;
  const float f = (clamped - n * 0.693359375f) + n * 2.12194440e-4f;
  float p = 1.9875691500e-4f;
  p = p * f + 1.3981999507e-3f;
  p = p * f + 8.3334519073e-3f;
  p = p * f + 4.1665795894e-2f;
  p = p * f + 1.6666665459e-1f;
  p = p * f + 5.0000001201e-1f;
  p = p * (f * f) + f + 1.0f;
  const float power = float_of((bits_of(shifted) << 23) + 0x3f800000u);
  return x < -87.0f ? 0.0f : p * power;
}

// log(x) for normal x >= 1, infinity or NaN: cephes' logf, 1 ulp.
inline float log_at_least_one(float x) {
  const uint32_t bits = bits_of(x);
  const int32_t exponent = int32_t(bits - 0x3f3504f3u) >> 23;
  const float f = float_of(bits - (uint32_t(exponent) << 23)) - 1.0f;
  float p = 7.0376836292e-2f;
  p = p * f - 1.1514610310e-1f;
  p = p * f + 1.1676998740e-1f;
  p = p * f - 1.2420140846e-1f;
  p = p * f + 1.4249322787e-1f;
  p = p * f - 1.6668057665e-1f;
  p = p * f + 2.0000714765e-1f;
  p = p * f - 2.4999993993e-1f;
  p = p * f + 3.3333331174e-1f;
  const float square = f * f;
  const float tail = f * square * p - float(exponent) * 2.12194440e-4f - 0.5f * square;
  const float result = f + tail + float(exponent) * 0.693359375f;
  return x <= 3.4e38f ? result : x;
}

}  // namespace
}  // namespace tomolift
