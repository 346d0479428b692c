// One bug on request, so that `nox -s sanitize` can show that its silence elsewhere means
// something.
#include <cuda_runtime.h>

#include <atomic>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include "../cpu/arena.h"
#include "tomolift/thread_pool.h"
#include "tomolift/voxel_cross_entropy.h"

namespace {

constexpr int kSize = 64;
volatile int g_one = 1;  // unknown to the optimiser, which would act on a bug it can see
volatile int g_seen = 0;

void read_past_the_end() {
  const std::vector<int> values(kSize, 1);
  g_seen = values.data()[kSize - 1 + g_one];
}

void write_past_the_end() {
  std::vector<int> values(kSize, 1);
  values.data()[kSize - 1 + g_one] = 2;
  g_seen = values[0];
}

// The op itself is given one logit fewer than its shape says: the kernels are watched too.
void give_a_kernel_too_little() {
  const int64_t classes = 2;
  const tomolift::DenseShape shape{1, classes, kSize, classes * kSize, kSize, 1};
  const std::vector<float> logits(classes * kSize - g_one, 0.0f);
  const std::vector<uint8_t> labels(kSize, 0);
  std::vector<char> memory(tomolift::voxel_cross_entropy_cpu_workspace(shape, 1) + 64);
  char* aligned = memory.data() + (64 - reinterpret_cast<uintptr_t>(memory.data()) % 64) % 64;
  float loss = 0.0f;
  double denominator = 0.0;
  tomolift::LabelFault fault{};
  tomolift::voxel_cross_entropy_cpu(shape,
                                    {tomolift::LogitsType::kFloat32, tomolift::LabelType::kUInt8,
                                     tomolift::Reduction::kMean, false, 0, 0.0},
                                    {logits.data(), labels.data(), nullptr, nullptr, false, nullptr,
                                     aligned, &loss, nullptr, nullptr, &denominator, &fault},
                                    1);
}

// The same to a kernel of the CUDA part, on the CPU.
void give_a_cuda_kernel_too_little() {
  const int64_t classes = 2;
  const tomolift::DenseShape shape{1, classes, kSize, classes * kSize, kSize, 1};
  const std::vector<float> logits(classes * kSize - g_one, 0.0f);
  const std::vector<uint8_t> labels(kSize, 0);
  const std::vector<double> memory(tomolift::voxel_cross_entropy_cuda_workspace(shape) / 8);
  float loss = 0.0f;
  g_seen = tomolift::voxel_cross_entropy_cuda(
      shape,
      {tomolift::LogitsType::kFloat32, tomolift::LabelType::kUInt8, tomolift::Reduction::kSum,
       false, 0, 0.0},
      {logits.data(), labels.data(), nullptr, nullptr, false, nullptr,
       const_cast<double*>(memory.data()), &loss, nullptr, nullptr, nullptr, nullptr},
      nullptr);
}

// Into what lies behind a piece of the workspace, which is the caller's memory all the same.
void leave_a_piece_of_the_workspace() {
  std::vector<int> memory(4096, 1);
  tomolift::Arena arena(memory.data());
  int* first = arena.take<int>(kSize);
  arena.take<int>(kSize);
  first[kSize - 1 + g_one] = 2;
  g_seen = first[0];
}

void overflow_an_integer() { g_seen = std::numeric_limits<int>::max() + g_one; }

void read_misaligned() {
  const std::vector<int> values(kSize, 1);
  const char* bytes = reinterpret_cast<const char*>(values.data()) + g_one;
  g_seen = *reinterpret_cast<const int*>(bytes);
}

// Both tasks wait for each other without ordering their writes: the race is there in every run.
void race_in_the_pool() {
  struct Shared {
    std::atomic<int> arrived{0};
    int written = 0;
  } shared;
  tomolift::parallel_for(
      2, 2,
      [](void* context, int64_t, int worker) {
        Shared& both = *static_cast<Shared*>(context);
        both.arrived.fetch_add(1, std::memory_order_relaxed);
        while (both.arrived.load(std::memory_order_relaxed) < 2) continue;
        both.written = worker;
      },
      &shared);
  g_seen = shared.written;
}

__global__ void read_a_neighbour(int* seen) {
  __shared__ int values[32];
  values[threadIdx.x] = int(threadIdx.x);
  seen[threadIdx.x] = values[31 - threadIdx.x];  // a __syncwarp is missing before
}

// Between the threads of a kernel of the CUDA part, on the CPU.
void race_in_a_cuda_kernel() {
  cudaLaunchConfig_t config{};
  config.blockDim = dim3(32);
  int seen[32] = {};
  g_seen = cudaLaunchKernelEx(&config, read_a_neighbour, seen) + seen[0];
}

struct Bug {
  const char* name;
  void (*commit)();
};

constexpr Bug kBugs[] = {
    {"heap_read", read_past_the_end},
    {"heap_write", write_past_the_end},
    {"op_read", give_a_kernel_too_little},
    {"cuda_read", give_a_cuda_kernel_too_little},
    {"piece_write", leave_a_piece_of_the_workspace},
    {"overflow", overflow_an_integer},
    {"misaligned", read_misaligned},
    {"race", race_in_the_pool},
    {"cuda_race", race_in_a_cuda_kernel},
};

}  // namespace

int main(int argc, char** argv) {
  for (const Bug& bug : kBugs) {
    if (argc == 2 && std::strcmp(argv[1], bug.name) == 0) {
      bug.commit();
      return 0;
    }
  }
  std::string names;
  for (const Bug& bug : kBugs) names += std::string(" ") + bug.name;
  std::fprintf(stderr, "expected one argument, one of:%s\n", names.c_str());
  return 2;
}
