// Barriers and warp operations. The last parameters are the call's own place, for messages.
#pragma once

#include <cstring>

#include "schedule.h"

namespace emulated_cuda {

template <typename T>
T brought_by(const Brought& brought, int lane) {
  static_assert(sizeof(T) <= kLaneBytes, "a lane brings at most 16 bytes");
  T value;
  std::memcpy(&value, brought.bytes[lane], sizeof value);
  return value;
}

inline void require_width(int width, Place place) {
  if (width < 1 || width > 32 || (width & (width - 1)) != 0)
    stop(place, "width is no power of two");
}

// Reads from `source`, or keeps its own where `source` is outside its part of `width` lanes.
template <typename T>
T shuffle(unsigned int mask, T value, int source, bool inside, Place place) {
  const Brought& brought = wait_for_lanes(mask, &value, sizeof value, place);
  if (!inside) return value;
  if ((mask >> source & 1u) == 0 || source >= threads_of_warp()) {
    stop(place, "reads from a lane that the mask leaves out");
  }
  return brought_by<T>(brought, source);
}

template <typename T, typename Combine>
T reduce(unsigned int mask, T value, Combine combine, Place place) {
  const Brought& brought = wait_for_lanes(mask, &value, sizeof value, place);
  bool first = true;
  T result{};
  for (int lane = 0; lane < threads_of_warp(); ++lane) {
    if ((mask >> lane & 1u) == 0) continue;
    const T other = brought_by<T>(brought, lane);
    result = first ? other : combine(result, other);
    first = false;
  }
  return result;
}

}  // namespace emulated_cuda

inline void __syncthreads(const char* file = __builtin_FILE(), int line = __builtin_LINE()) {
  emulated_cuda::wait_for_block({file, line});
}

inline void __syncwarp(unsigned int mask = 0xffffffffu, const char* file = __builtin_FILE(),
                       int line = __builtin_LINE()) {
  emulated_cuda::wait_for_lanes(mask, "", 0, {file, line});
}

template <typename T>
T __shfl_sync(unsigned int mask, T value, int source, int width = 32,
              const char* file = __builtin_FILE(), int line = __builtin_LINE()) {
  emulated_cuda::require_width(width, {file, line});
  const int first = emulated_cuda::lane_of_thread() / width * width;
  return emulated_cuda::shuffle(mask, value, first + (source & (width - 1)), true, {file, line});
}

template <typename T>
T __shfl_up_sync(unsigned int mask, T value, unsigned int by, int width = 32,
                 const char* file = __builtin_FILE(), int line = __builtin_LINE()) {
  emulated_cuda::require_width(width, {file, line});
  const int lane = emulated_cuda::lane_of_thread();
  return emulated_cuda::shuffle(mask, value, lane - int(by), lane % width >= int(by), {file, line});
}

template <typename T>
T __shfl_down_sync(unsigned int mask, T value, unsigned int by, int width = 32,
                   const char* file = __builtin_FILE(), int line = __builtin_LINE()) {
  emulated_cuda::require_width(width, {file, line});
  const int lane = emulated_cuda::lane_of_thread();
  const bool inside = lane % width + int(by) < width;
  return emulated_cuda::shuffle(mask, value, lane + int(by), inside, {file, line});
}

template <typename T>
T __shfl_xor_sync(unsigned int mask, T value, int with, int width = 32,
                  const char* file = __builtin_FILE(), int line = __builtin_LINE()) {
  emulated_cuda::require_width(width, {file, line});
  const int lane = emulated_cuda::lane_of_thread();
  const bool inside = (lane ^ with) / width <= lane / width;
  return emulated_cuda::shuffle(mask, value, lane ^ with, inside, {file, line});
}

inline unsigned int __ballot_sync(unsigned int mask, int predicate,
                                  const char* file = __builtin_FILE(),
                                  int line = __builtin_LINE()) {
  const unsigned int bit = predicate != 0 ? 1u << emulated_cuda::lane_of_thread() : 0u;
  const auto combine = [](unsigned int a, unsigned int b) { return a | b; };
  return emulated_cuda::reduce(mask, bit, combine, {file, line});
}

inline int __any_sync(unsigned int mask, int predicate, const char* file = __builtin_FILE(),
                      int line = __builtin_LINE()) {
  return __ballot_sync(mask, predicate, file, line) != 0;
}

inline int __all_sync(unsigned int mask, int predicate, const char* file = __builtin_FILE(),
                      int line = __builtin_LINE()) {
  return __ballot_sync(mask, !predicate, file, line) == 0;
}

inline unsigned int __reduce_add_sync(unsigned int mask, unsigned int value,
                                      const char* file = __builtin_FILE(),
                                      int line = __builtin_LINE()) {
  const auto combine = [](unsigned int a, unsigned int b) { return a + b; };
  return emulated_cuda::reduce(mask, value, combine, {file, line});
}

inline unsigned int __reduce_or_sync(unsigned int mask, unsigned int value,
                                     const char* file = __builtin_FILE(),
                                     int line = __builtin_LINE()) {
  const auto combine = [](unsigned int a, unsigned int b) { return a | b; };
  return emulated_cuda::reduce(mask, value, combine, {file, line});
}

inline unsigned int __reduce_min_sync(unsigned int mask, unsigned int value,
                                      const char* file = __builtin_FILE(),
                                      int line = __builtin_LINE()) {
  const auto combine = [](unsigned int a, unsigned int b) { return a < b ? a : b; };
  return emulated_cuda::reduce(mask, value, combine, {file, line});
}

inline unsigned int __reduce_max_sync(unsigned int mask, unsigned int value,
                                      const char* file = __builtin_FILE(),
                                      int line = __builtin_LINE()) {
  const auto combine = [](unsigned int a, unsigned int b) { return a > b ? a : b; };
  return emulated_cuda::reduce(mask, value, combine, {file, line});
}
