// CUDA's keywords and built-in variables. Here alone macros are due: they are CUDA's own words.
#pragma once

#include <cstdint>

#include "vectors.h"

#define __global__
#define __device__
#define __host__
#define __constant__ static
#define __forceinline__ inline
#define __noinline__ __attribute__((noinline))
#define __launch_bounds__(...)
#define __grid_constant__
#define __align__(bytes) __attribute__((aligned(bytes)))
// Blocks run one at a time on one OS thread, so that a variable per OS thread is one per block;
// unlike `static` the word may follow `extern`. Its old contents stay from block to block.
#define __shared__ thread_local

inline uint3 threadIdx;
inline uint3 blockIdx;
inline dim3 blockDim;
inline dim3 gridDim;
constexpr int warpSize = 32;

// Declared by kernels outside any namespace, in these words.
constexpr int64_t kDynamicSharedMemoryBytes = 227 * 1024;  // what a block of an H100 can have
extern __shared__ __align__(16) unsigned char dynamic_shared_memory[];
