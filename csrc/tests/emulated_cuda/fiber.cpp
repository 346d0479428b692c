// ucontext does the work; the rest tells the sanitizers about it.
#include "fiber.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#elif defined(__SANITIZE_THREAD__)
#include <sanitizer/tsan_interface.h>
#endif

namespace emulated_cuda {
namespace {

// ASan's frames are several times as large as plain ones; untouched pages cost nothing.
constexpr size_t kStackBytes = 256 * 1024;

size_t guard_bytes() { return size_t(sysconf(_SC_PAGESIZE)); }

}  // namespace

Fiber::Fiber() {
  void* memory = mmap(nullptr, guard_bytes() + kStackBytes, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED || mprotect(memory, guard_bytes(), PROT_NONE) != 0) {
    std::perror("emulated CUDA: no memory for a thread's stack");
    std::abort();
  }
  stack_ = static_cast<unsigned char*>(memory);
#if defined(__SANITIZE_THREAD__)
  inside_sanitizer_ = __tsan_create_fiber(0);
#endif
}

Fiber::~Fiber() {
#if defined(__SANITIZE_THREAD__)
  __tsan_destroy_fiber(inside_sanitizer_);
#endif
  munmap(stack_, guard_bytes() + kStackBytes);
}

void Fiber::start(void (*body)()) {
  body_ = body;
  getcontext(&inside_);
  inside_.uc_stack.ss_sp = stack_ + guard_bytes();
  inside_.uc_stack.ss_size = kStackBytes;
  inside_.uc_link = nullptr;
  const uint64_t address = reinterpret_cast<uintptr_t>(this);
  makecontext(&inside_, reinterpret_cast<void (*)()>(&Fiber::enter), 2,
              (unsigned int)(address >> 32), (unsigned int)(address));
#if defined(__SANITIZE_THREAD__)
  outside_sanitizer_ = __tsan_get_current_fiber();
#endif
  go_in(true);
}

void Fiber::resume() { go_in(false); }
void Fiber::yield() { go_out(false); }

void Fiber::enter(unsigned int high, unsigned int low) {
  Fiber& self = *reinterpret_cast<Fiber*>(uintptr_t(uint64_t(high) << 32 | low));
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(nullptr, &self.outside_stack_, &self.outside_stack_bytes_);
#endif
  self.yield();
  self.body_();
  self.go_out(true);
}

void Fiber::go_in([[maybe_unused]] bool starting) {
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_start_switch_fiber(&outside_sanitizer_, stack_ + guard_bytes(), kStackBytes);
#elif defined(__SANITIZE_THREAD__)
  // only the start and the end are ordered with what happens outside
  __tsan_switch_to_fiber(inside_sanitizer_, starting ? 0 : __tsan_switch_to_fiber_no_sync);
#endif
  swapcontext(&outside_, &inside_);
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(outside_sanitizer_, nullptr, nullptr);
#endif
}

void Fiber::go_out([[maybe_unused]] bool ending) {
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_start_switch_fiber(ending ? nullptr : &inside_sanitizer_, outside_stack_,
                                 outside_stack_bytes_);
#elif defined(__SANITIZE_THREAD__)
  __tsan_switch_to_fiber(outside_sanitizer_, ending ? 0 : __tsan_switch_to_fiber_no_sync);
#endif
  swapcontext(&inside_, &outside_);
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(inside_sanitizer_, &outside_stack_, &outside_stack_bytes_);
#endif
}

void publish_to_fibers([[maybe_unused]] void* address) {
#if defined(__SANITIZE_THREAD__)
  __tsan_release(address);
#endif
}

void acquire_from_fibers([[maybe_unused]] void* address) {
#if defined(__SANITIZE_THREAD__)
  __tsan_acquire(address);
#endif
}

void set_dynamic_shared_memory(unsigned char* memory, int64_t used_bytes,
                               [[maybe_unused]] int64_t bytes) {
#if defined(__SANITIZE_ADDRESS__)
  __asan_unpoison_memory_region(memory, used_bytes);
  __asan_poison_memory_region(memory + used_bytes, bytes - used_bytes);
#endif
  std::memset(memory, 0xff, used_bytes);
}

}  // namespace emulated_cuda
