// The scheduler's interface: one grid of fibers, and the places where they wait for each other.
#pragma once

#include <cstdint>
#include <functional>

#include "vectors.h"

namespace emulated_cuda {

// The order in which blocks and threads run where nothing orders them.
enum class Order { kAscending, kDescending, kShuffled };
void set_schedule(Order order, unsigned int seed = 0);

// Runs kernel() once for each thread of the grid; returns when all have returned.
void run_grid(dim3 grid, dim3 block, int64_t dynamic_shared_bytes,
              const std::function<void()>& kernel);

// Where the running thread is; the names are CUDA's own.
int lane_of_thread();
int warp_of_thread();
int threads_of_warp();  // fewer than 32 in a last warp that is not full

// A line of a kernel, for messages.
struct Place {
  const char* file;
  int line;
};

// Waits until every thread of the block is here.
void wait_for_block(Place place);

// Waits until every lane of the mask is here; then each lane can read what the others brought,
// until it waits with the same lanes once more.
constexpr int kLaneBytes = 16;
struct Brought {
  alignas(16) unsigned char bytes[32][kLaneBytes];
};
const Brought& wait_for_lanes(unsigned int mask, const void* bring, int bytes, Place place);

// Ends the program with a message that names the running thread.
[[noreturn]] void stop(Place place, const char* complaint);

}  // namespace emulated_cuda
