// Loads and stores with cache hints, which here only check the address.
#pragma once

#include <cstdint>
#include <cstdio>
#include <cstdlib>

namespace emulated_cuda {

template <typename T>
void require_aligned(const T* address) {
  if (reinterpret_cast<uintptr_t>(address) % sizeof(T) == 0) return;
  std::fprintf(stderr, "emulated CUDA: %p is not aligned to the %zu bytes of the access\n",
               static_cast<const void*>(address), sizeof(T));
  std::abort();
}

template <typename T>
T load(const T* address) {
  require_aligned(address);
  return *address;
}

template <typename T>
void store(T* address, T value) {
  require_aligned(address);
  *address = value;
}

}  // namespace emulated_cuda

template <typename T>
T __ldg(const T* address) {
  return emulated_cuda::load(address);
}
template <typename T>
T __ldca(const T* address) {
  return emulated_cuda::load(address);
}
template <typename T>
T __ldcg(const T* address) {
  return emulated_cuda::load(address);
}
template <typename T>
T __ldcs(const T* address) {
  return emulated_cuda::load(address);
}
template <typename T>
void __stwb(T* address, T value) {
  emulated_cuda::store(address, value);
}
template <typename T>
void __stcg(T* address, T value) {
  emulated_cuda::store(address, value);
}
template <typename T>
void __stcs(T* address, T value) {
  emulated_cuda::store(address, value);
}
