// Any processor, by the compiler's own vectors: 4 lanes, which SSE2 and NEON have.
#pragma once

#include "numeric.h"

namespace tomolift {
namespace {

constexpr int kLanes = 4;

using FourFloats = float __attribute__((vector_size(16)));
using FourInts = int32_t __attribute__((vector_size(16)));
using FourBits = uint32_t __attribute__((vector_size(16)));

struct Floats {
  FourFloats v;
};
struct Ints {
  FourInts v;
};
struct Mask {
  FourInts v;  // each all ones or zero
};

inline Floats all_lanes(float value) { return {FourFloats{value, value, value, value}}; }
inline Ints all_lanes(int32_t value) { return {FourInts{value, value, value, value}}; }

template <typename Element>
inline Floats load(const Element* p) {
  Floats a;
  for (int lane = 0; lane < kLanes; ++lane) a.v[lane] = to_real(p[lane]);
  return a;
}
inline Floats load(const float* p) {
  Floats a;
  std::memcpy(&a.v, p, sizeof a.v);
  return a;
}
template <typename Element>
inline void store(Floats a, Element* p) {
  for (int lane = 0; lane < kLanes; ++lane) from_real(float(a.v[lane]), p[lane]);
}
inline void store(Floats a, float* p) { std::memcpy(p, &a.v, sizeof a.v); }

// There is no way past the caches that every processor has.
template <typename Element>
inline void stream(Floats a, Element* p) {
  store(a, p);
}
inline void finish_streaming() {}

// Bytes are signed: 255 is -1.
inline Ints load_ints(const uint8_t* p) {
  Ints a;
  for (int lane = 0; lane < kLanes; ++lane) a.v[lane] = int8_t(p[lane]);
  return a;
}
inline Ints load_ints(const int32_t* p) {
  Ints a;
  std::memcpy(&a.v, p, sizeof a.v);
  return a;
}
inline void store(Ints a, uint8_t* p) {
  for (int lane = 0; lane < kLanes; ++lane) p[lane] = uint8_t(a.v[lane]);
}
inline void store(Ints a, int32_t* p) { std::memcpy(p, &a.v, sizeof a.v); }

inline Floats operator+(Floats a, Floats b) { return {a.v + b.v}; }
inline Floats operator-(Floats a, Floats b) { return {a.v - b.v}; }
inline Floats operator*(Floats a, Floats b) { return {a.v * b.v}; }
inline Floats operator/(Floats a, Floats b) { return {a.v / b.v}; }
inline Floats fused(Floats a, Floats b, Floats c) { return {a.v * b.v + c.v}; }

inline Ints operator-(Ints a, Ints b) { return {a.v - b.v}; }

// The second where either is NaN.
inline Floats maximum(Floats a, Floats b) { return {a.v > b.v ? a.v : b.v}; }
inline Mask above(Floats a, Floats b) { return {a.v > b.v}; }
inline Mask equal_to(Floats a, Floats b) { return {a.v == b.v}; }
inline Mask is_nan(Floats a) { return {a.v != a.v}; }
inline Mask equal(Ints a, Ints b) { return {a.v == b.v}; }
inline Mask not_negative(Ints a) { return {a.v >= 0}; }
inline bool any(Mask m) { return (m.v[0] | m.v[1] | m.v[2] | m.v[3]) != 0; }
inline Mask without(Mask a, Mask b) { return {a.v & ~b.v}; }
inline Mask either(Mask a, Mask b) { return {a.v | b.v}; }

inline Floats select(Mask m, Floats a, Floats b) { return {m.v ? a.v : b.v}; }
inline Ints select(Mask m, Ints a, Ints b) { return {m.v ? a.v : b.v}; }
inline Floats where(Mask m, Floats a) { return select(m, a, all_lanes(0.0f)); }
inline Floats multiply_where(Mask m, Floats a, Floats b) { return select(m, a * b, a); }
inline Floats add_where(Mask m, Floats a, Floats b) { return a + where(m, b); }
inline Floats subtract_where(Mask m, Floats a, Floats b) { return a - where(m, b); }

// Eight entries; lookup gives anything where the index is negative.
struct LaneTable {
  explicit LaneTable(const float* entries) : entries(entries) {}
  const float* entries;
};
inline Floats lookup(LaneTable table, Ints index) {
  Floats a;
  for (int lane = 0; lane < kLanes; ++lane) a.v[lane] = table.entries[index.v[lane] & 7];
  return a;
}

// exp(x) for x <= 0 or NaN, exactly 0 for -inf: cephes' polynomial of degree 7, 1 ulp.
inline Floats exp_nonpositive(Floats x) {
  // -88 and below have n = -127, whose power of two comes out as 0
  const Floats clamped = maximum(all_lanes(-88.0f), x);
  // adding 1.5 * 2^23 rounds to an integer and leaves it, with the exponent's bias, in the low bits
  const Floats magic = all_lanes(12582912.0f + 127.0f);
  const Floats shifted = clamped * all_lanes(1.44269504088896341f) + magic;
  const Floats n = shifted - magic;
  // log(2) in two parts, as without a fused multiplication n log(2) would be rounded
  const Floats f = (clamped - n * all_lanes(0.693359375f)) + n * all_lanes(2.12194440e-4f);
  Floats p = all_lanes(1.9875691500e-4f);
  p = p * f + all_lanes(1.3981999507e-3f);
  p = p * f + all_lanes(8.3334519073e-3f);
  p = p * f + all_lanes(4.1665795894e-2f);
  p = p * f + all_lanes(1.6666665459e-1f);
  p = p * f + all_lanes(5.0000001201e-1f);
  p = p * (f * f) + f + all_lanes(1.0f);
  FourBits bits;
  std::memcpy(&bits, &shifted.v, sizeof bits);
  bits = bits << 23;
  Floats power;
  std::memcpy(&power.v, &bits, sizeof bits);
  return p * power;
}

// A sum of vectors in double, whose order depends on nothing but theirs.
class LaneSum {
 public:
  void add(Floats a) {
    for (int lane = 0; lane < kLanes; ++lane) lanes_[lane] += double(a.v[lane]);
  }
  double total() const { return (lanes_[0] + lanes_[2]) + (lanes_[1] + lanes_[3]); }

 private:
  double lanes_[kLanes] = {};
};

// base[index], the indices between 0 and 3.
inline Floats pick(const float* base, Ints index) {
  Floats a;
  for (int lane = 0; lane < kLanes; ++lane) a.v[lane] = base[index.v[lane]];
  return a;
}

// How many of n bytes are `value`.
inline int64_t count_bytes(const uint8_t* bytes, int64_t n, uint8_t value) {
  int64_t total = 0;
  for (int64_t begin = 0; begin < n; begin += 128) {
    const int64_t end = begin + 128 < n ? begin + 128 : n;
    uint8_t count = 0;  // a byte counts to 255 at most
    for (int64_t i = begin; i < end; ++i) count = uint8_t(count + (bytes[i] == value));
    total += count;
  }
  return total;
}

}  // namespace
}  // namespace tomolift
