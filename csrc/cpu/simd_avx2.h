// AVX2 with FMA and F16C: 8 lanes. A mask is a vector whose lanes are all ones or all zeros.
#pragma once

#include <immintrin.h>

#include "numeric.h"

namespace tomolift {
namespace {

constexpr int kLanes = 8;

struct Floats {
  __m256 v;
};
struct Ints {
  __m256i v;
};
struct Mask {
  __m256 v;
};

inline Floats all_lanes(float value) { return {_mm256_set1_ps(value)}; }
inline Ints all_lanes(int32_t value) { return {_mm256_set1_epi32(value)}; }

inline Floats load(const float* p) { return {_mm256_loadu_ps(p)}; }
inline Floats load(const BFloat16* p) {
  const __m128i bits = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
  return {_mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(bits), 16))};
}
inline Floats load(const Float16* p) {
  return {_mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)))};
}

inline __m128i rounded(Floats a, BFloat16) {
  const __m256i bits = _mm256_castps_si256(a.v);
  const __m256i odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
  const __m256i up = _mm256_add_epi32(bits, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff)));
  const __m256i nan = _mm256_castps_si256(_mm256_cmp_ps(a.v, a.v, _CMP_UNORD_Q));
  const __m256i kept =
      _mm256_blendv_epi8(_mm256_srli_epi32(up, 16), _mm256_set1_epi32(0x7fc0), nan);
  const __m256i packed = _mm256_packus_epi32(kept, kept);  // in each half by itself
  return _mm256_castsi256_si128(_mm256_permute4x64_epi64(packed, 0x08));
}
inline __m128i rounded(Floats a, Float16) {
  return _mm256_cvtps_ph(a.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}

inline void store(Floats a, float* p) { _mm256_storeu_ps(p, a.v); }
template <typename Element>
inline void store(Floats a, Element* p) {
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), rounded(a, Element{}));
}

// Past the caches; p is aligned to the vector.
inline void stream(Floats a, float* p) { _mm256_stream_ps(p, a.v); }
template <typename Element>
inline void stream(Floats a, Element* p) {
  _mm_stream_si128(reinterpret_cast<__m128i*>(p), rounded(a, Element{}));
}
inline void finish_streaming() { _mm_sfence(); }

// Bytes are signed: 255 is -1.
inline Ints load_ints(const uint8_t* p) {
  return {_mm256_cvtepi8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p)))};
}
inline Ints load_ints(const int32_t* p) {
  return {_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p))};
}
inline void store(Ints a, uint8_t* p) {
  const __m256i lowest = _mm256_shuffle_epi8(
      a.v, _mm256_setr_epi8(0, 4, 8, 12, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, 0, 4, 8,
                            12, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1));
  const __m128i bytes =
      _mm_unpacklo_epi32(_mm256_castsi256_si128(lowest), _mm256_extracti128_si256(lowest, 1));
  _mm_storel_epi64(reinterpret_cast<__m128i*>(p), bytes);
}
inline void store(Ints a, int32_t* p) { _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), a.v); }

inline Floats operator+(Floats a, Floats b) { return {_mm256_add_ps(a.v, b.v)}; }
inline Floats operator-(Floats a, Floats b) { return {_mm256_sub_ps(a.v, b.v)}; }
inline Floats operator*(Floats a, Floats b) { return {_mm256_mul_ps(a.v, b.v)}; }
inline Floats operator/(Floats a, Floats b) { return {_mm256_div_ps(a.v, b.v)}; }
inline Floats fused(Floats a, Floats b, Floats c) { return {_mm256_fmadd_ps(a.v, b.v, c.v)}; }

inline Ints operator-(Ints a, Ints b) { return {_mm256_sub_epi32(a.v, b.v)}; }

// The second where either is NaN.
inline Floats maximum(Floats a, Floats b) { return {_mm256_max_ps(a.v, b.v)}; }
inline Mask above(Floats a, Floats b) { return {_mm256_cmp_ps(a.v, b.v, _CMP_GT_OQ)}; }
inline Mask equal_to(Floats a, Floats b) { return {_mm256_cmp_ps(a.v, b.v, _CMP_EQ_OQ)}; }
inline Mask is_nan(Floats a) { return {_mm256_cmp_ps(a.v, a.v, _CMP_UNORD_Q)}; }
inline Mask equal(Ints a, Ints b) { return {_mm256_castsi256_ps(_mm256_cmpeq_epi32(a.v, b.v))}; }
inline Mask not_negative(Ints a) {
  return {_mm256_castsi256_ps(_mm256_cmpgt_epi32(a.v, _mm256_set1_epi32(-1)))};
}
inline bool any(Mask m) { return _mm256_movemask_ps(m.v) != 0; }
inline Mask without(Mask a, Mask b) { return {_mm256_andnot_ps(b.v, a.v)}; }
inline Mask either(Mask a, Mask b) { return {_mm256_or_ps(a.v, b.v)}; }

inline Floats select(Mask m, Floats a, Floats b) { return {_mm256_blendv_ps(b.v, a.v, m.v)}; }
inline Ints select(Mask m, Ints a, Ints b) {
  return {_mm256_blendv_epi8(b.v, a.v, _mm256_castps_si256(m.v))};
}
inline Floats where(Mask m, Floats a) { return {_mm256_and_ps(m.v, a.v)}; }
inline Floats multiply_where(Mask m, Floats a, Floats b) {
  return {_mm256_blendv_ps(a.v, _mm256_mul_ps(a.v, b.v), m.v)};
}
inline Floats add_where(Mask m, Floats a, Floats b) {
  return {_mm256_add_ps(a.v, _mm256_and_ps(m.v, b.v))};
}
inline Floats subtract_where(Mask m, Floats a, Floats b) {
  return {_mm256_sub_ps(a.v, _mm256_and_ps(m.v, b.v))};
}

// Eight entries; lookup gives anything where the index is negative.
struct LaneTable {
  explicit LaneTable(const float* entries) : v(_mm256_loadu_ps(entries)) {}
  __m256 v;
};
inline Floats lookup(LaneTable table, Ints index) {
  return {_mm256_permutevar8x32_ps(table.v, index.v)};
}

// exp(x) for x <= 0 or NaN, exactly 0 for -inf: 2^n p(t - n), n nearest to t = x / log(2), p of
// degree 5 with p(0) = 1 and a relative error of 9e-8.
inline Floats exp_nonpositive(Floats x) {
  // -88 and below have n = -127, whose power of two comes out as 0
  const __m256 clamped = _mm256_max_ps(_mm256_set1_ps(-88.0f), x.v);
  const __m256 log2_e = _mm256_set1_ps(1.44269504088896341f);
  // adding 1.5 * 2^23 rounds to an integer and leaves it, with the exponent's bias, in the low bits
  const __m256 magic = _mm256_set1_ps(12582912.0f + 127.0f);
  const __m256 shifted = _mm256_fmadd_ps(clamped, log2_e, magic);
  const __m256 f = _mm256_fmsub_ps(clamped, log2_e, _mm256_sub_ps(shifted, magic));
  __m256 p = _mm256_set1_ps(1.3264727313e-3f);
  p = _mm256_fmadd_ps(p, f, _mm256_set1_ps(9.6715129912e-3f));
  p = _mm256_fmadd_ps(p, f, _mm256_set1_ps(5.5507335812e-2f));
  p = _mm256_fmadd_ps(p, f, _mm256_set1_ps(0.24022242427f));
  p = _mm256_fmadd_ps(p, f, _mm256_set1_ps(0.69314700365f));
  p = _mm256_fmadd_ps(p, f, _mm256_set1_ps(1.0f));
  const __m256i power = _mm256_slli_epi32(_mm256_castps_si256(shifted), 23);
  return {_mm256_mul_ps(p, _mm256_castsi256_ps(power))};
}

// A sum of vectors in double, whose order depends on nothing but theirs.
class LaneSum {
 public:
  void add(Floats a) {
    low_ = _mm256_add_pd(low_, _mm256_cvtps_pd(_mm256_castps256_ps128(a.v)));
    high_ = _mm256_add_pd(high_, _mm256_cvtps_pd(_mm256_extractf128_ps(a.v, 1)));
  }
  double total() const {
    alignas(32) double lanes[4];
    _mm256_store_pd(lanes, _mm256_add_pd(low_, high_));
    return (lanes[0] + lanes[2]) + (lanes[1] + lanes[3]);
  }

 private:
  __m256d low_ = _mm256_setzero_pd();
  __m256d high_ = _mm256_setzero_pd();
};

// base[index], the indices between 0 and 7; reads 8 floats at base.
inline Floats pick(const float* base, Ints index) {
  return {_mm256_permutevar8x32_ps(_mm256_loadu_ps(base), index.v)};
}

// How many of n bytes are `value`.
inline int64_t count_bytes(const uint8_t* bytes, int64_t n, uint8_t value) {
  const __m256i wanted = _mm256_set1_epi8(char(value));
  __m256i totals = _mm256_setzero_si256();
  int64_t i = 0;
  while (i + 32 <= n) {
    __m256i counts = _mm256_setzero_si256();  // a byte counts to 255 at most
    for (int round = 0; round < 255 && i + 32 <= n; ++round, i += 32) {
      const __m256i block = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(bytes + i));
      counts = _mm256_sub_epi8(counts, _mm256_cmpeq_epi8(block, wanted));
    }
    totals = _mm256_add_epi64(totals, _mm256_sad_epu8(counts, _mm256_setzero_si256()));
  }
  alignas(32) int64_t lanes[4];
  _mm256_store_si256(reinterpret_cast<__m256i*>(lanes), totals);
  int64_t count = lanes[0] + lanes[1] + lanes[2] + lanes[3];
  for (; i < n; ++i) count += bytes[i] == value;
  return count;
}

}  // namespace
}  // namespace tomolift
