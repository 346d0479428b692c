// Logits and labels of every type, written and read back by arithmetic that the core does not use.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <vector>

#include "check.h"
#include "tomolift/types.h"

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

inline int64_t size_of(tomolift::LogitsType type) {
  return type == tomolift::LogitsType::kFloat64   ? 8
         : type == tomolift::LogitsType::kFloat32 ? 4
                                                  : 2;
}
inline int64_t size_of(tomolift::LabelType type) { return int64_t(1) << int(type); }

// The bits of a number that the type can hold, one sign, exponent and fraction at a time.
inline uint16_t half_bits(double value, int exponent_bits) {
  const int fraction_bits = 15 - exponent_bits;
  const int bias = (1 << (exponent_bits - 1)) - 1;
  const uint16_t sign = std::signbit(value) ? 0x8000 : 0;
  const int top = ((1 << exponent_bits) - 1) << fraction_bits;
  if (std::isnan(value)) return uint16_t(sign | top | 1 << (fraction_bits - 1));
  if (std::isinf(value)) return uint16_t(sign | top);
  if (value == 0.0) return sign;
  int exponent = 0;
  const double fraction = std::frexp(std::abs(value), &exponent);  // [0.5, 1)
  const double scaled = std::ldexp(fraction, fraction_bits + 1);
  CHECK(scaled == std::floor(scaled) && exponent + bias - 1 > 0);
  return uint16_t(sign | (exponent + bias - 1) << fraction_bits |
                  (int(scaled) - (1 << fraction_bits)));
}

inline double half_value(uint16_t bits, int exponent_bits) {
  const int fraction_bits = 15 - exponent_bits;
  const int bias = (1 << (exponent_bits - 1)) - 1;
  const int exponent = (bits & 0x7fff) >> fraction_bits;
  const int fraction = bits & ((1 << fraction_bits) - 1);
  const double sign = bits & 0x8000 ? -1.0 : 1.0;
  if (exponent == (1 << exponent_bits) - 1) return fraction != 0 ? kNaN : sign * INFINITY;
  const int whole = exponent == 0 ? fraction : fraction + (1 << fraction_bits);
  return sign * std::ldexp(whole, (exponent == 0 ? 1 : exponent) - bias - fraction_bits);
}

inline int exponent_bits(tomolift::LogitsType type) {
  return type == tomolift::LogitsType::kBFloat16 ? 8 : 5;
}

inline void write_element(tomolift::LogitsType type, double value, char* at) {
  const float single = float(value);
  const uint16_t half = size_of(type) == 2 ? half_bits(value, exponent_bits(type)) : 0;
  if (size_of(type) == 8) std::memcpy(at, &value, 8);
  if (size_of(type) == 4) std::memcpy(at, &single, 4);
  if (size_of(type) == 2) std::memcpy(at, &half, 2);
}

inline double read_element(tomolift::LogitsType type, const char* at) {
  double value = 0.0;
  float single = 0.0f;
  uint16_t half = 0;
  if (size_of(type) == 8) return std::memcpy(&value, at, 8), value;
  if (size_of(type) == 4) return std::memcpy(&single, at, 4), double(single);
  return std::memcpy(&half, at, 2), half_value(half, exponent_bits(type));
}

inline void write_label(tomolift::LabelType type, int64_t value, char* at) {
  std::memcpy(at, &value, size_of(type));  // little-endian: the low bytes come first
}

// Exactly as many bytes as the elements take, `shift` elements past an aligned address, so that
// AddressSanitizer sees the first byte read or written too many.
class Bytes {
 public:
  Bytes(int64_t count, int64_t element, int64_t shift, unsigned char fill)
      : offset_(shift * element), bytes_((count + shift) * element, char(fill)) {}
  char* data() { return bytes_.data() + offset_; }
  const char* data() const { return bytes_.data() + offset_; }

 private:
  int64_t offset_;
  std::vector<char> bytes_;
};

// An op's workspace, aligned as the ops ask for.
class Workspace {
 public:
  explicit Workspace(int64_t size) : bytes_(size + 64, char(0xff)) {}
  void* data() {
    return bytes_.data() + (64 - reinterpret_cast<uintptr_t>(bytes_.data()) % 64) % 64;
  }

 private:
  std::vector<char> bytes_;
};
