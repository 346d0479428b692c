// The instruction sets the kernels are built for. Which one runs is decided once, by cpuid.
#pragma once

#include "tomolift/thread_pool.h"

namespace tomolift {

enum class Isa : int { kBaseline = 0, kAvx2 = 1, kAvx512 = 2 };

Isa best_isa();
const char* isa_name(Isa isa);

// Every kernel exists once in each namespace; on other processors than x86-64 in the first alone.
#define TOMOLIFT_DECLARE_KERNEL(name)             \
  namespace tomolift {                            \
  namespace baseline {                            \
  void name(void* job, int64_t task, int worker); \
  }                                               \
  namespace avx2 {                                \
  void name(void* job, int64_t task, int worker); \
  }                                               \
  namespace avx512 {                              \
  void name(void* job, int64_t task, int worker); \
  }                                               \
  }

#if defined(TOMOLIFT_X86_64)
#define TOMOLIFT_SELECT_KERNEL(name)         \
  (best_isa() == Isa::kAvx512 ? avx512::name \
   : best_isa() == Isa::kAvx2 ? avx2::name   \
                              : baseline::name)
#else
#define TOMOLIFT_SELECT_KERNEL(name) baseline::name
#endif

}  // namespace tomolift
