// Logits and labels of every type, written and read back by arithmetic that the core does not use.
#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <cmath>
#include <cstdint>
#include <cstdlib>
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

// Where elements lie: what they do not reach must not be touched.
enum class Place : int {
  kHeap = 0,     // AddressSanitizer sees the first byte read or written too many
  kShifted = 1,  // the same, one element past an aligned address
  kFenced = 2,   // a page without access follows: masked vectors get past AddressSanitizer
};

class Bytes {
 public:
  Bytes(int64_t count, int64_t element, Place place, unsigned char fill) : size_(count * element) {
    if (place == Place::kFenced) {
      const int64_t page = sysconf(_SC_PAGESIZE);
      const int64_t whole = (size_ + page - 1) / page * page;
      mapped_ = whole + page;
      memory_ = static_cast<char*>(mmap(nullptr, size_t(mapped_), PROT_READ | PROT_WRITE,
                                        MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
      CHECK(memory_ != MAP_FAILED && mprotect(memory_ + whole, size_t(page), PROT_NONE) == 0);
      offset_ = whole - size_;
    } else {
      offset_ = place == Place::kShifted ? element : 0;
      memory_ = static_cast<char*>(std::malloc(size_t(size_ + offset_)));
    }
    std::memset(data(), fill, size_t(size_));
  }
  Bytes(const Bytes&) = delete;
  Bytes& operator=(const Bytes&) = delete;
  ~Bytes() {
    if (mapped_ > 0) {
      munmap(memory_, size_t(mapped_));
    } else {
      std::free(memory_);
    }
  }
  char* data() { return memory_ + offset_; }
  const char* data() const { return memory_ + offset_; }

 private:
  int64_t size_;
  int64_t offset_ = 0;
  int64_t mapped_ = 0;
  char* memory_ = nullptr;
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

// Which of an op's outputs are asked for.
enum class Pass { kBoth, kForward, kBackward };
