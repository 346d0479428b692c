// The multi-function unit's exponential and reciprocal, one instruction each.
#pragma once

#include <cuda_runtime.h>

#include <cmath>

namespace tomolift {
namespace {

// exp(x) for x <= 0, NaN for NaN. The instruction is right to 2^-22; rounding the product adds
// 2^-24 |x| exp(x), at most 3e-8 beside the largest class's one. CUDA's __expf also rescales
// subnormal results, for three more instructions; here they are zero.
__device__ inline float exp_nonpositive(float x) {
  const float scaled = x * 1.44269504088896341f;
#if defined(__CUDA_ARCH__)
  float result;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(result) : "f"(scaled));
  return result;
#else
  return exp2f(scaled);
#endif
}

// 1 / x for normal x, 1 ulp.
__device__ inline float reciprocal(float x) {
#if defined(__CUDA_ARCH__)
  float result;
  asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(result) : "f"(x));
  return result;
#else
  return 1.0f / x;
#endif
}

}  // namespace
}  // namespace tomolift
