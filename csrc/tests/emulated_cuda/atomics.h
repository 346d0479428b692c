// Atomic read-modify-write operations: each returns the old value.
#pragma once

namespace emulated_cuda {

// atomic to the compiler too, so that TSan does not take two of them for a race
template <typename T, typename Update>
T atomic_update(T* address, Update update) {
  T old;
  __atomic_load(address, &old, __ATOMIC_RELAXED);
  T updated = update(old);
  __atomic_store(address, &updated, __ATOMIC_RELAXED);
  return old;
}

}  // namespace emulated_cuda

template <typename T>
T atomicAdd(T* address, T value) {
  return emulated_cuda::atomic_update(address, [&](T old) { return T(old + value); });
}
template <typename T>
T atomicMin(T* address, T value) {
  return emulated_cuda::atomic_update(address, [&](T old) { return value < old ? value : old; });
}
template <typename T>
T atomicMax(T* address, T value) {
  return emulated_cuda::atomic_update(address, [&](T old) { return value > old ? value : old; });
}
template <typename T>
T atomicExch(T* address, T value) {
  return emulated_cuda::atomic_update(address, [&](T) { return value; });
}
template <typename T>
T atomicOr(T* address, T value) {
  return emulated_cuda::atomic_update(address, [&](T old) { return T(old | value); });
}
template <typename T>
T atomicCAS(T* address, T expected, T value) {
  return emulated_cuda::atomic_update(address,
                                      [&](T old) { return old == expected ? value : old; });
}

// One OS thread: what was written is written.
inline void __threadfence() {}
inline void __threadfence_block() {}
