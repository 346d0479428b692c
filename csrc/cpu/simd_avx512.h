// AVX-512: 16 lanes.
#pragma once

#include <immintrin.h>

#include "numeric.h"

namespace tomolift {
namespace {

constexpr int kLanes = 16;

struct Floats {
  __m512 v;
};
struct Ints {
  __m512i v;
};
struct Mask {
  __mmask16 v;
};

inline Floats all_lanes(float value) { return {_mm512_set1_ps(value)}; }
inline Ints all_lanes(int32_t value) { return {_mm512_set1_epi32(value)}; }

inline Floats load(const float* p) { return {_mm512_loadu_ps(p)}; }
inline Floats load(const BFloat16* p) {
  const __m256i bits = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
  return {_mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(bits), 16))};
}
inline Floats load(const Float16* p) {
  return {_mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)))};
}

inline __m256i rounded(Floats a, BFloat16) {
  const __m512i bits = _mm512_castps_si512(a.v);
  const __m512i odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
  const __m512i up = _mm512_add_epi32(bits, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff)));
  const __mmask16 nan = _mm512_cmp_ps_mask(a.v, a.v, _CMP_UNORD_Q);
  return _mm512_cvtepi32_epi16(
      _mm512_mask_mov_epi32(_mm512_srli_epi32(up, 16), nan, _mm512_set1_epi32(0x7fc0)));
}
inline __m256i rounded(Floats a, Float16) {
  return _mm512_cvtps_ph(a.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}

inline void store(Floats a, float* p) { _mm512_storeu_ps(p, a.v); }
template <typename Element>
inline void store(Floats a, Element* p) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), rounded(a, Element{}));
}

// Past the caches; p is aligned to the vector.
inline void stream(Floats a, float* p) { _mm512_stream_ps(p, a.v); }
template <typename Element>
inline void stream(Floats a, Element* p) {
  _mm256_stream_si256(reinterpret_cast<__m256i*>(p), rounded(a, Element{}));
}
inline void finish_streaming() { _mm_sfence(); }

// Bytes are signed: 255 is -1.
inline Ints load_ints(const uint8_t* p) {
  return {_mm512_cvtepi8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)))};
}
inline Ints load_ints(const int32_t* p) { return {_mm512_loadu_si512(p)}; }
inline void store(Ints a, uint8_t* p) {
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm512_cvtepi32_epi8(a.v));
}
inline void store(Ints a, int32_t* p) { _mm512_storeu_si512(p, a.v); }

inline Floats operator+(Floats a, Floats b) { return {_mm512_add_ps(a.v, b.v)}; }
inline Floats operator-(Floats a, Floats b) { return {_mm512_sub_ps(a.v, b.v)}; }
inline Floats operator*(Floats a, Floats b) { return {_mm512_mul_ps(a.v, b.v)}; }
inline Floats operator/(Floats a, Floats b) { return {_mm512_div_ps(a.v, b.v)}; }
inline Floats fused(Floats a, Floats b, Floats c) { return {_mm512_fmadd_ps(a.v, b.v, c.v)}; }

inline Ints operator-(Ints a, Ints b) { return {_mm512_sub_epi32(a.v, b.v)}; }

// The second where either is NaN.
inline Floats maximum(Floats a, Floats b) { return {_mm512_max_ps(a.v, b.v)}; }
inline Mask above(Floats a, Floats b) { return {_mm512_cmp_ps_mask(a.v, b.v, _CMP_GT_OQ)}; }
inline Mask equal_to(Floats a, Floats b) { return {_mm512_cmp_ps_mask(a.v, b.v, _CMP_EQ_OQ)}; }
inline Mask is_nan(Floats a) { return {_mm512_cmp_ps_mask(a.v, a.v, _CMP_UNORD_Q)}; }
inline Mask equal(Ints a, Ints b) { return {_mm512_cmpeq_epi32_mask(a.v, b.v)}; }
inline Mask not_negative(Ints a) { return {_mm512_cmpge_epi32_mask(a.v, _mm512_setzero_si512())}; }
inline bool any(Mask m) { return m.v != 0; }
inline Mask without(Mask a, Mask b) { return {__mmask16(a.v & ~b.v)}; }
inline Mask either(Mask a, Mask b) { return {__mmask16(a.v | b.v)}; }

inline Floats select(Mask m, Floats a, Floats b) { return {_mm512_mask_mov_ps(b.v, m.v, a.v)}; }
inline Ints select(Mask m, Ints a, Ints b) { return {_mm512_mask_mov_epi32(b.v, m.v, a.v)}; }
inline Floats where(Mask m, Floats a) { return {_mm512_maskz_mov_ps(m.v, a.v)}; }
inline Floats multiply_where(Mask m, Floats a, Floats b) {
  return {_mm512_mask_mul_ps(a.v, m.v, a.v, b.v)};
}
inline Floats add_where(Mask m, Floats a, Floats b) {
  return {_mm512_mask_add_ps(a.v, m.v, a.v, b.v)};
}
inline Floats subtract_where(Mask m, Floats a, Floats b) {
  return {_mm512_mask_sub_ps(a.v, m.v, a.v, b.v)};
}

// Eight entries; lookup gives anything where the index is negative.
struct LaneTable {
  explicit LaneTable(const float* entries) : v(_mm512_broadcast_f32x8(_mm256_loadu_ps(entries))) {}
  __m512 v;  // twice
};
inline Floats lookup(LaneTable table, Ints index) {
  return {_mm512_permutexvar_ps(index.v, table.v)};
}

// exp(x) for x <= 0 or NaN, exactly 0 for -inf: 2^floor(t) p(t - floor(t)), p of degree 5 with
// p(0) = 1 and a relative error of 8e-8.
inline Floats exp_nonpositive(Floats x) {
  const __m512 t = _mm512_mul_ps(x.v, _mm512_set1_ps(1.44269504088896341f));
  const __m512 f = _mm512_reduce_ps(t, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC);
  __m512 p = _mm512_set1_ps(1.8671301659e-3f);
  p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(9.0170297772e-3f));
  p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(5.5799912661e-2f));
  p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(0.24016444385f));
  p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(0.69315129519f));
  p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(1.0f));
  return {_mm512_scalef_ps(p, t)};
}

// A sum of vectors in double, whose order depends on nothing but theirs.
class LaneSum {
 public:
  void add(Floats a) {
    low_ = _mm512_add_pd(low_, _mm512_cvtps_pd(_mm512_castps512_ps256(a.v)));
    high_ = _mm512_add_pd(high_, _mm512_cvtps_pd(_mm512_extractf32x8_ps(a.v, 1)));
  }
  double total() const { return _mm512_reduce_add_pd(_mm512_add_pd(low_, high_)); }

 private:
  __m512d low_ = _mm512_setzero_pd();
  __m512d high_ = _mm512_setzero_pd();
};

// base[index], the indices between 0 and 15; reads 16 floats at base.
inline Floats pick(const float* base, Ints index) {
  return {_mm512_permutexvar_ps(index.v, _mm512_loadu_ps(base))};
}

// How many of n bytes are `value`.
inline int64_t count_bytes(const uint8_t* bytes, int64_t n, uint8_t value) {
  const __m512i wanted = _mm512_set1_epi8(char(value));
  int64_t count = 0;
  int64_t i = 0;
  for (; i + 64 <= n; i += 64) {
    count += __builtin_popcountll(_mm512_cmpeq_epi8_mask(_mm512_loadu_si512(bytes + i), wanted));
  }
  if (i == n) return count;
  const __mmask64 rest = ~uint64_t(0) >> (64 - (n - i));
  const __m512i last = _mm512_maskz_loadu_epi8(rest, bytes + i);
  return count + __builtin_popcountll(_mm512_mask_cmpeq_epi8_mask(rest, last, wanted));
}

}  // namespace
}  // namespace tomolift
