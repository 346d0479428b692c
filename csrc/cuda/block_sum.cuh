// The sum of a value over the block, added in the same order every time.
#pragma once

#include <cuda_runtime.h>

namespace tomolift {
namespace {

constexpr unsigned int kFullWarp = 0xffffffffu;

__device__ inline double sum_warp(double value) {
#pragma unroll
  for (int step = 16; step > 0; step /= 2) value += __shfl_down_sync(kFullWarp, value, step);
  return value;
}

// Valid in thread 0. Every thread of the block calls it, once a kernel; kThreads is a multiple
// of 32.
template <int kThreads>
__device__ inline double sum_block(double value) {
  constexpr int kWarps = kThreads / 32;
  static_assert(kThreads % 32 == 0 && kWarps <= 32, "whole warps, whose sums fit in one");
  __shared__ double sums[kWarps];
  const int lane = int(threadIdx.x) % 32;
  const double sum = sum_warp(value);
  if (lane == 0) sums[threadIdx.x / 32] = sum;
  __syncthreads();
  if (threadIdx.x >= 32) return 0.0;
  return sum_warp(lane < kWarps ? sums[lane] : 0.0);
}

}  // namespace
}  // namespace tomolift
