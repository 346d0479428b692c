// A stack of its own that can be left and entered again, known to ASan and TSan.
#pragma once

#include <ucontext.h>

#include <cstddef>
#include <cstdint>

namespace emulated_cuda {

class Fiber {
 public:
  Fiber();
  ~Fiber();
  Fiber(const Fiber&) = delete;
  Fiber& operator=(const Fiber&) = delete;

  // Makes ready to run the body. To TSan fibers are threads: start all before resuming one, or the
  // end of one is taken to order it before the start of the next and hides their races.
  void start(void (*body)());
  void resume();  // from outside: runs until it yields or its body returns
  void yield();   // from inside: back to whoever resumed it

 private:
  static void enter(unsigned int high, unsigned int low);  // the halves of a Fiber*
  void go_in(bool starting);
  void go_out(bool ending);

  unsigned char* stack_;  // a guard page, then the stack
  ucontext_t inside_;
  ucontext_t outside_;
  void (*body_)() = nullptr;
  void* inside_sanitizer_ = nullptr;  // what ASan or TSan keep for each side
  void* outside_sanitizer_ = nullptr;
  const void* outside_stack_ = nullptr;
  size_t outside_stack_bytes_ = 0;
};

// For TSan: what happened before a publish is ordered before what follows an acquire of the
// address.
void publish_to_fibers(void* address);
void acquire_from_fibers(void* address);

// Fills what a kernel may use with NaN, and lets ASan object to the rest.
void set_dynamic_shared_memory(unsigned char* memory, int64_t used_bytes, int64_t bytes);

}  // namespace emulated_cuda
