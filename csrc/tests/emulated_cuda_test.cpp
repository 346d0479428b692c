// The stand-in for CUDA itself: what warps exchange, and that a wrong kernel does not pass.
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmath>
#include <vector>

#include "check.h"

extern __shared__ __align__(16) unsigned char dynamic_shared_memory[];

namespace {

cudaLaunchConfig_t grid_of(unsigned int blocks, unsigned int threads, size_t shared = 0) {
  return {dim3(blocks), dim3(threads), shared, nullptr, nullptr, 0};
}

__global__ void exchange(int* out) {
  const int lane = int(threadIdx.x % 32);
  int* mine = out + 6 * (blockIdx.x * blockDim.x + threadIdx.x);
  mine[0] = __shfl_sync(0xffffffffu, lane, 5);
  mine[1] = __shfl_up_sync(0xffffffffu, lane, 3);
  mine[2] = __shfl_down_sync(0xffffffffu, lane, 3, 8);
  mine[3] = __shfl_xor_sync(0xffffffffu, lane, 6);
  mine[4] = int(__reduce_add_sync(0xffffffffu, (unsigned int)(lane)));
  mine[5] = int(__ballot_sync(0xffffffffu, lane < 4));
}

void warps_exchange_as_cuda_says() {
  std::vector<int> out(6 * 128);
  const cudaLaunchConfig_t config = grid_of(2, 64);
  CHECK(cudaLaunchKernelEx(&config, exchange, out.data()) == cudaSuccess);
  for (int i = 0; i < 128; ++i) {
    const int lane = i % 32;
    const int* mine = &out[6 * i];
    CHECK(mine[0] == 5);
    CHECK(mine[1] == (lane < 3 ? lane : lane - 3));
    CHECK(mine[2] == (lane % 8 < 5 ? lane + 3 : lane));
    CHECK(mine[3] == (lane ^ 6));
    CHECK(mine[4] == 31 * 16);
    CHECK(mine[5] == 15);
  }
}

__global__ void reverse(float* values, bool wait) {
  float* shared = reinterpret_cast<float*>(dynamic_shared_memory);
  shared[threadIdx.x] = values[threadIdx.x];
  if (wait) __syncthreads();
  values[threadIdx.x] = shared[blockDim.x - 1 - threadIdx.x];
}

// How many of 64 values arrive.
int reversed(bool wait) {
  std::vector<float> values(64);
  for (int i = 0; i < 64; ++i) values[i] = float(i);
  const cudaLaunchConfig_t config = grid_of(1, 64, 64 * sizeof(float));
  CHECK(cudaLaunchKernelEx(&config, reverse, values.data(), wait) == cudaSuccess);
  int right = 0;
  for (int i = 0; i < 64; ++i) right += values[i] == float(63 - i);
  return right;
}

void a_missing_barrier_shows_in_every_order() {
  using emulated_cuda::Order;
  for (const Order order : {Order::kAscending, Order::kDescending, Order::kShuffled}) {
    emulated_cuda::set_schedule(order);
    CHECK(reversed(true) == 64);
#if !defined(__SANITIZE_THREAD__)  // it reports the race, as it should
    CHECK(reversed(false) < 64);
#endif
  }
  emulated_cuda::set_schedule(Order::kAscending);
}

__global__ void wait_for_some(int) {
  if (threadIdx.x < 16) __syncthreads();
}
__global__ void wait_on_two_lines(int) {
  if (threadIdx.x < 16) {
    __syncthreads();
  } else {
    __syncthreads();
  }
}
__global__ void leave_out_itself(int) { __syncwarp(1u); }
__global__ void read_misaligned(const float* values) {
  __ldg(reinterpret_cast<const float4*>(values + 1));
}

template <typename Parameter>
void stops(void (*kernel)(Parameter), Parameter argument) {
  const pid_t child = fork();
  if (child == 0) {
    if (std::freopen("/dev/null", "w", stderr) == nullptr) _exit(0);
    const cudaLaunchConfig_t config = grid_of(1, 32);
    cudaLaunchKernelEx(&config, kernel, argument);
    _exit(0);
  }
  int status = 0;
  CHECK(waitpid(child, &status, 0) == child);
  CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
}

void every_16_bit_number_survives_a_round_trip() {
  for (unsigned int bits = 0; bits < 65536; ++bits) {
    const float half = __half2float(__half{uint16_t(bits)});
    CHECK(std::isnan(half) || __float2half_rn(half).bits == bits);
    const float brain = __bfloat162float(__nv_bfloat16{uint16_t(bits)});
    CHECK(std::isnan(brain) || __float2bfloat16_rn(brain).bits == bits);
  }
}

void conversions_round_to_even() {
  CHECK(__float2half_rn(1.0f + 0x1p-11f).bits == 0x3c00u);
  CHECK(__float2half_rn(1.0f + 0x3p-11f).bits == 0x3c02u);
  CHECK(__float2half_rn(65519.0f).bits == 0x7bffu);
  CHECK(__float2half_rn(65520.0f).bits == 0x7c00u);
  CHECK(__float2half_rn(0x1p-25f).bits == 0u);
  CHECK(__float2half_rn(0x1.8p-24f).bits == 2u);
  CHECK(__float2bfloat16_rn(1.0f + 0x1p-8f).bits == 0x3f80u);
  CHECK(__float2bfloat16_rn(1.0f + 0x3p-8f).bits == 0x3f82u);
}

}  // namespace

int main() {
  alignas(16) const float values[8] = {};
  warps_exchange_as_cuda_says();
  a_missing_barrier_shows_in_every_order();
  stops(wait_for_some, 0);
  stops(wait_on_two_lines, 0);
  stops(leave_out_itself, 0);
  stops(read_misaligned, &values[0]);
  every_16_bit_number_survives_a_round_trip();
  conversions_round_to_even();
  return 0;
}
