// Blocks one after another, their threads as fibers that change over where one has to wait. Built
// without TSan, to which the scheduler's own state would look shared.
#include "schedule.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <map>
#include <numeric>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "fiber.h"
#include "keywords.h"

thread_local unsigned char dynamic_shared_memory[kDynamicSharedMemoryBytes];

namespace emulated_cuda {
namespace {

// Threads that wait for each other, over and over: `round` counts the times all of them came.
struct Meeting {
  int64_t round = 0;
  int arrived = 0;
  unsigned int mask = 0;
  Place place{};
  Brought brought[2];  // by turns, so that a fast lane's next round spares what others still read
};

struct Thread {
  Fiber fiber;
  uint3 index{};
  bool done = false;
  const Meeting* waits_for = nullptr;
  int64_t round = 0;  // of the meeting, while it waits
  Place place{};
};

struct Block {
  int64_t size = 0;
  std::deque<Thread> threads;  // of the largest block so far, as stacks are dear; they do not move
  Meeting barrier;
  std::vector<Meeting> of_lanes;  // 32 for each warp, by the lowest lane of the mask
};

Block block;
Thread* running = nullptr;
const std::function<void()>* kernel_of_grid = nullptr;
Order order_of_threads = Order::kAscending;
std::mt19937_64 generator;

std::vector<int64_t> order(int64_t count) {
  std::vector<int64_t> indices(count);
  std::iota(indices.begin(), indices.end(), 0);
  if (order_of_threads == Order::kDescending) std::reverse(indices.begin(), indices.end());
  if (order_of_threads == Order::kShuffled) {
    std::shuffle(indices.begin(), indices.end(), generator);
  }
  return indices;
}

int64_t rank_of(const Thread& thread) {
  const uint3& index = thread.index;
  return index.x + int64_t(blockDim.x) * (index.y + int64_t(blockDim.y) * index.z);
}

void thread_body() {
  (*kernel_of_grid)();
  running->done = true;
}

void resume(Thread& thread) {
  running = &thread;
  threadIdx = thread.index;
  thread.fiber.resume();
  running = nullptr;
}

[[noreturn]] void stop_deadlocked() {
  std::fprintf(stderr, "emulated CUDA: block (%u, %u, %u) is deadlocked:\n", blockIdx.x, blockIdx.y,
               blockIdx.z);
  std::map<std::string, std::pair<int64_t, int>> groups;  // their first thread, and how many
  for (int64_t i = 0; i < block.size; ++i) {
    const Thread& thread = block.threads[i];
    std::string what = "returned";
    if (!thread.done)
      what = std::string("wait at ") + thread.place.file + ":" + std::to_string(thread.place.line);
    auto& group = groups[what];
    if (group.second++ == 0) group.first = rank_of(thread);
  }
  for (const auto& [what, who] : groups) {
    std::fprintf(stderr, "  %d threads, the first is %lld, %s\n", who.second,
                 (long long)(who.first), what.c_str());
  }
  std::abort();
}

void run_block(dim3 size, int64_t dynamic_shared_bytes) {
  set_dynamic_shared_memory(dynamic_shared_memory, dynamic_shared_bytes, kDynamicSharedMemoryBytes);
  const int64_t threads = int64_t(size.x) * size.y * size.z;
  while (int64_t(block.threads.size()) < threads) block.threads.emplace_back();
  block.size = threads;
  block.barrier = {};
  block.of_lanes.assign((threads + 31) / 32 * 32, Meeting{});
  for (int64_t i = 0; i < threads; ++i) {
    Thread& thread = block.threads[i];
    thread.index = {(unsigned int)(i % size.x), (unsigned int)(i / size.x % size.y),
                    (unsigned int)(i / (int64_t(size.x) * size.y))};
    thread.done = false;
    thread.waits_for = nullptr;
    thread.fiber.start(thread_body);
  }
  int64_t left = threads;
  while (left > 0) {
    bool progress = false;
    for (const int64_t i : order(threads)) {
      Thread& thread = block.threads[i];
      if (thread.done || (thread.waits_for && thread.waits_for->round == thread.round)) continue;
      thread.waits_for = nullptr;
      resume(thread);
      progress = true;
      left -= thread.done;
    }
    if (!progress) stop_deadlocked();
  }
}

// Whether the caller is the last to come; if not, it has waited until the last one came.
void meet(Meeting& meeting, int expected, Place place) {
  if (meeting.arrived == 0) meeting.place = place;
  if (meeting.place.line != place.line || std::strcmp(meeting.place.file, place.file) != 0) {
    std::fprintf(stderr, "emulated CUDA: others wait at %s:%d\n", meeting.place.file,
                 meeting.place.line);
    stop(place, "threads wait for each other on different lines");
  }
  publish_to_fibers(&meeting);
  running->place = place;
  if (++meeting.arrived == expected) {
    meeting.arrived = 0;
    ++meeting.round;
  } else {
    running->waits_for = &meeting;
    running->round = meeting.round;
    Thread& self = *running;
    self.fiber.yield();
  }
  acquire_from_fibers(&meeting);
}

}  // namespace

void set_schedule(Order chosen, unsigned int seed) {
  order_of_threads = chosen;
  generator.seed(seed);
}

void run_grid(dim3 grid, dim3 size, int64_t dynamic_shared_bytes,
              const std::function<void()>& kernel) {
  kernel_of_grid = &kernel;
  gridDim = grid;
  blockDim = size;
  for (const int64_t i : order(int64_t(grid.x) * grid.y * grid.z)) {
    blockIdx = {(unsigned int)(i % grid.x), (unsigned int)(i / grid.x % grid.y),
                (unsigned int)(i / (int64_t(grid.x) * grid.y))};
    run_block(size, dynamic_shared_bytes);
  }
}

int lane_of_thread() { return int(rank_of(*running) % 32); }

int warp_of_thread() { return int(rank_of(*running) / 32); }

int threads_of_warp() { return int(std::min<int64_t>(32, block.size - 32 * warp_of_thread())); }

void wait_for_block(Place place) { meet(block.barrier, int(block.size), place); }

const Brought& wait_for_lanes(unsigned int mask, const void* bring, int bytes, Place place) {
  const int lane = lane_of_thread();
  const int present = threads_of_warp();
  if (present < 32) mask &= (1u << present) - 1u;  // lanes that never were are not waited for
  if ((mask >> lane & 1u) == 0) stop(place, "the mask leaves out the thread itself");
  Meeting& meeting = block.of_lanes[32 * warp_of_thread() + __builtin_ctz(mask)];
  if (meeting.arrived == 0) meeting.mask = mask;
  if (meeting.mask != mask) stop(place, "lanes of one warp operation give different masks");
  Brought& brought = meeting.brought[meeting.round % 2];
  std::memcpy(brought.bytes[lane], bring, bytes);
  meet(meeting, __builtin_popcount(mask), place);
  return brought;
}

void stop(Place place, const char* complaint) {
  std::fprintf(stderr, "emulated CUDA: %s:%d: block (%u, %u, %u), thread (%u, %u, %u): %s\n",
               place.file, place.line, blockIdx.x, blockIdx.y, blockIdx.z, threadIdx.x, threadIdx.y,
               threadIdx.z, complaint);
  std::abort();
}

}  // namespace emulated_cuda
