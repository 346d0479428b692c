// Logits' types on the device: floats in and out, one element or one 32-bit word at a time.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>

#include <cstdint>
#include <cstring>

namespace tomolift {
namespace {

__device__ inline float to_float(float value) { return value; }
__device__ inline float to_float(__half value) { return __half2float(value); }
__device__ inline float to_float(__nv_bfloat16 value) { return __bfloat162float(value); }

__device__ inline void from_float(float value, float& out) { out = value; }
__device__ inline void from_float(float value, __half& out) { out = __float2half_rn(value); }
__device__ inline void from_float(float value, __nv_bfloat16& out) {
  out = __float2bfloat16_rn(value);
}

// Element 0, and of 16-bit types element 1, of a word.
__device__ inline void unpack(uint32_t word, const float*, float (&out)[1]) {
  out[0] = __uint_as_float(word);
}

__device__ inline void unpack(uint32_t word, const __nv_bfloat16*, float (&out)[2]) {
  // a bfloat16 is the upper half of a float
  out[0] = __uint_as_float(word << 16);
  out[1] = __uint_as_float(word & 0xffff0000u);
}

__device__ inline void unpack(uint32_t word, const __half*, float (&out)[2]) {
  __half2 pair;
  memcpy(&pair, &word, sizeof word);
  const float2 values = __half22float2(pair);
  out[0] = values.x;
  out[1] = values.y;
}

__device__ inline uint32_t pack(const float (&in)[1], const float*) {
  return __float_as_uint(in[0]);
}

__device__ inline uint32_t pack(const float (&in)[2], const __nv_bfloat16*) {
  const __nv_bfloat162 pair = __floats2bfloat162_rn(in[0], in[1]);
  uint32_t word;
  memcpy(&word, &pair, sizeof word);
  return word;
}

__device__ inline uint32_t pack(const float (&in)[2], const __half*) {
  const __half2 pair = __floats2half2_rn(in[0], in[1]);
  uint32_t word;
  memcpy(&word, &pair, sizeof word);
  return word;
}

}  // namespace
}  // namespace tomolift
