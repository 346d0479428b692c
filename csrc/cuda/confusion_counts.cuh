// A thread's share of the confusion matrix, and how a block adds up its threads' shares.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

namespace tomolift {
namespace {

// For up to three classes: nine counters of six bits in a register pair, which cost five
// instructions a voxel where an atomic in shared memory would wait for its neighbours' on the same
// entry.
template <int kClasses, bool kPacked = (kClasses <= 3)>
class ConfusionCounts {
 public:
  static constexpr int kMost = 63;  // voxels between two flushes

  __device__ void add(unsigned int*, int truth, int prediction) {
    if (truth >= 0) packed_ += 1ull << (kBits * kClasses * truth + kBits * prediction);
  }

  // Every lane of the warp calls it; each entry's sum goes to a lane of its own, and all at once to
  // the matrix: an atomic and its branch for each entry are 24 instructions, a choice is one.
  __device__ void flush(unsigned int* matrix) {
    const int lane = int(threadIdx.x) % 32;
    unsigned int mine = 0;
#pragma unroll
    for (int entry = 0; entry < kClasses * kClasses; ++entry) {
      const unsigned int count = (unsigned int)(packed_ >> (kBits * entry)) & kMost;
      const unsigned int sum = __reduce_add_sync(0xffffffffu, count);
      mine = lane == entry ? sum : mine;
    }
    if (mine > 0) atomicAdd(&matrix[lane], mine);
    packed_ = 0;
  }

 private:
  static constexpr int kBits = 6;
  static_assert(kBits * kClasses * kClasses <= 64, "the counters fit into a register pair");
  unsigned long long packed_ = 0;
};

// For more: straight into the block's matrix, whose entries are as many as the lanes or more.
template <int kClasses>
class ConfusionCounts<kClasses, false> {
 public:
  static constexpr int kMost = INT32_MAX;

  __device__ void add(unsigned int* matrix, int truth, int prediction) {
    if (truth >= 0) atomicAdd(&matrix[truth * kClasses + prediction], 1u);
  }
  __device__ void flush(unsigned int*) {}
};

}  // namespace
}  // namespace tomolift
