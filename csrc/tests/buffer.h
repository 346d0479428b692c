// Memory that ends where it says, so that ASan sees the first byte too many.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <utility>

class Buffer {
 public:
  Buffer() = default;
  // The first byte lies `offset` bytes after a multiple of 64.
  explicit Buffer(int64_t bytes, int64_t offset = 0) : offset_(offset), bytes_(bytes) {
    if (posix_memalign(&memory_, 64, size_t(offset + bytes)) != 0) std::abort();
    std::memset(data(), 0xff, size_t(bytes));  // NaN or -1, whatever the type
  }
  Buffer(const Buffer& other) : Buffer(other.bytes_, other.offset_) {
    std::memcpy(data(), other.data(), size_t(bytes_));
  }
  Buffer(Buffer&& other) noexcept { swap(other); }
  Buffer& operator=(Buffer other) noexcept {
    swap(other);
    return *this;
  }
  ~Buffer() { std::free(memory_); }

  void* data() const { return static_cast<char*>(memory_) + offset_; }
  int64_t bytes() const { return bytes_; }
  template <typename T>
  T* as() const {
    return static_cast<T*>(data());
  }
  bool same_bytes(const Buffer& other) const {
    return bytes_ == other.bytes_ && std::memcmp(data(), other.data(), size_t(bytes_)) == 0;
  }

 private:
  void swap(Buffer& other) noexcept {
    std::swap(memory_, other.memory_);
    std::swap(offset_, other.offset_);
    std::swap(bytes_, other.bytes_);
  }
  void* memory_ = nullptr;
  int64_t offset_ = 0;
  int64_t bytes_ = 0;
};
