// Cuts one block of memory into the pieces that an op's job is made of.
#pragma once

#include <cstdint>

#if defined(__SANITIZE_ADDRESS__)
#define TOMOLIFT_ADDRESS_SANITIZER
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define TOMOLIFT_ADDRESS_SANITIZER
#endif
#endif
#if defined(TOMOLIFT_ADDRESS_SANITIZER)
#include <sanitizer/asan_interface.h>
#endif

namespace tomolift {

// Hands out 64-byte aligned pieces of the workspace; with a null base it only measures. Under
// AddressSanitizer a gap follows every piece that nobody may touch while the arena lives: the
// sanitizer itself knows of the whole block alone and would let one piece run over into the next.
class Arena {
 public:
  explicit Arena(void* base) : base_(static_cast<char*>(base)) {}
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;
#if defined(TOMOLIFT_ADDRESS_SANITIZER)
  ~Arena() {
    if (base_ != nullptr) __asan_unpoison_memory_region(base_, used_);
  }
#endif

  template <typename T>
  T* take(int64_t count) {
    const int64_t begin = used_;
    const int64_t end = begin + count * int64_t(sizeof(T));
    used_ = (end + 63) / 64 * 64 + kGap;
    if (base_ == nullptr) return nullptr;
#if defined(TOMOLIFT_ADDRESS_SANITIZER)
    __asan_poison_memory_region(base_ + end, used_ - end);
#endif
    return reinterpret_cast<T*>(base_ + begin);
  }
  int64_t used() const { return used_; }

 private:
#if defined(TOMOLIFT_ADDRESS_SANITIZER)
  static constexpr int64_t kGap = 256;  // four of the widest vectors
#else
  static constexpr int64_t kGap = 0;
#endif

  char* base_;
  int64_t used_ = 0;
};

}  // namespace tomolift
