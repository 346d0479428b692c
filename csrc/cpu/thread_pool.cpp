#include "tomolift/thread_pool.h"

#include <pthread.h>
#if defined(__SSE2__)
#include <xmmintrin.h>
#endif

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <system_error>
#include <thread>

namespace tomolift {
namespace {

// The floating-point mode of a thread: rounding, and whether results below the normal range are
// flushed to zero. A worker would otherwise keep that of the thread that happened to start it.
#if defined(__SSE2__)
using FloatMode = unsigned int;
FloatMode float_mode() { return _mm_getcsr(); }
void set_float_mode(FloatMode mode) { _mm_setcsr(mode); }
#else
struct FloatMode {};
FloatMode float_mode() { return {}; }
void set_float_mode(FloatMode) {}
#endif

struct Job {
  TaskFunction run;
  void* context;
  int64_t tasks;
  int helpers;
  FloatMode mode;  // the caller's
  std::atomic<int64_t> next{0};

  void work(int worker) {
    for (int64_t task = next++; task < tasks; task = next++) run(context, task, worker);
  }
};

// Not a mutex: a task that calls the pool again is on the thread that has the turn already, where
// try_lock would be undefined.
struct Turn {
  explicit Turn(std::atomic_flag& busy)
      : busy(busy), mine(!busy.test_and_set(std::memory_order_acquire)) {}
  ~Turn() {
    if (mine) busy.clear(std::memory_order_release);
  }
  Turn(const Turn&) = delete;
  Turn& operator=(const Turn&) = delete;

  std::atomic_flag& busy;
  const bool mine;
};

class Pool {
 public:
  void run(Job& job) {
    const Turn turn(busy_);
    if (!turn.mine) {
      job.work(0);
      return;
    }
    {
      std::lock_guard<std::mutex> lock(mutex_);
      grow(job.helpers);
      if (job.helpers > workers_) job.helpers = workers_;
      job_ = &job;
      remaining_ = job.helpers;
      ++generation_;
    }
    wake_.notify_all();
    job.work(0);
    std::unique_lock<std::mutex> lock(mutex_);
    done_.wait(lock, [this] { return remaining_ == 0; });
    job_ = nullptr;
  }

 private:
  void grow(int wanted) {
    while (workers_ < wanted) {
      try {
        std::thread(&Pool::loop, this, workers_, generation_).detach();
      } catch (const std::system_error&) {
        return;  // the system has no more threads to give: fewer do the work
      }
      ++workers_;
    }
  }

  void loop(int index, uint64_t seen) {
    std::unique_lock<std::mutex> lock(mutex_);
    for (;;) {
      wake_.wait(lock, [&] { return generation_ != seen; });
      seen = generation_;
      if (job_ == nullptr || index >= job_->helpers) continue;
      Job& job = *job_;
      lock.unlock();
      set_float_mode(job.mode);
      job.work(index + 1);
      lock.lock();
      if (--remaining_ == 0) done_.notify_one();
    }
  }

  std::atomic_flag busy_ = ATOMIC_FLAG_INIT;  // one job at a time
  std::mutex mutex_;
  std::condition_variable wake_;
  std::condition_variable done_;
  Job* job_ = nullptr;
  uint64_t generation_ = 0;
  int workers_ = 0;
  int remaining_ = 0;
};

// Never destroyed: detached workers may outlive static destructors.
std::atomic<Pool*> g_pool{nullptr};

// A forked child has none of the workers, and its copies of the locks may be held for ever.
[[maybe_unused]] const int g_fork_handler =
    pthread_atfork(nullptr, nullptr, [] { g_pool.store(nullptr); });

Pool& pool() {
  Pool* current = g_pool.load();
  if (current == nullptr) {
    Pool* fresh = new Pool;
    if (g_pool.compare_exchange_strong(current, fresh)) return *fresh;
    delete fresh;
  }
  return *current;
}

}  // namespace

void parallel_for(int64_t tasks, int threads, TaskFunction run, void* context) {
  Job job{run, context, tasks, 0, float_mode()};
  job.helpers = static_cast<int>(threads < tasks ? threads : tasks) - 1;
  if (job.helpers <= 0) {
    job.work(0);
    return;
  }
  pool().run(job);
}

}  // namespace tomolift
