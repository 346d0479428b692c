// Arithmetic and bit intrinsics. The approximate ones are exact here.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

inline float __expf(float x) { return std::exp(x); }
inline float __logf(float x) { return std::log(x); }
inline float __log2f(float x) { return std::log2(x); }
inline float __fdividef(float x, float y) { return x / y; }
inline float __frcp_rn(float x) { return 1.0f / x; }
inline float __fmaf_rn(float x, float y, float z) { return std::fma(x, y, z); }
inline float __fadd_rn(float x, float y) { return x + y; }
inline float __fmul_rn(float x, float y) { return x * y; }
inline float __saturatef(float x) { return x >= 1.0f ? 1.0f : (x > 0.0f ? x : 0.0f); }
inline float rsqrtf(float x) { return 1.0f / std::sqrt(x); }

template <typename T>
T min(T a, T b) {
  return b < a ? b : a;
}
template <typename T>
T max(T a, T b) {
  return a < b ? b : a;
}

inline int __popc(unsigned int x) { return __builtin_popcount(x); }
inline int __popcll(unsigned long long x) { return __builtin_popcountll(x); }
inline int __ffs(int x) { return __builtin_ffs(x); }
inline int __clz(int x) { return x == 0 ? 32 : __builtin_clz((unsigned int)(x)); }
inline unsigned int __umulhi(unsigned int x, unsigned int y) {
  return (unsigned int)(uint64_t(x) * y >> 32);
}

namespace emulated_cuda {

template <typename To, typename From>
To with_bits_of(From value) {
  static_assert(sizeof(To) == sizeof(From), "the same bits, read anew");
  To result;
  std::memcpy(&result, &value, sizeof result);
  return result;
}

}  // namespace emulated_cuda

inline float __int_as_float(int x) { return emulated_cuda::with_bits_of<float>(x); }
inline float __uint_as_float(unsigned int x) { return emulated_cuda::with_bits_of<float>(x); }
inline int __float_as_int(float x) { return emulated_cuda::with_bits_of<int>(x); }
inline unsigned int __float_as_uint(float x) {
  return emulated_cuda::with_bits_of<unsigned int>(x);
}
inline double __longlong_as_double(long long x) { return emulated_cuda::with_bits_of<double>(x); }
inline long long __double_as_longlong(double x) {
  return emulated_cuda::with_bits_of<long long>(x);
}
