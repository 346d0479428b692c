#include "tomolift/thread_pool.h"

#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <thread>
#include <vector>

#include "check.h"

namespace {

struct Counts {
  std::vector<std::atomic<int>> tasks;
  int threads;
  explicit Counts(int n, int threads) : tasks(n), threads(threads) {}
};

void count(void* context, int64_t task, int worker) {
  Counts& counts = *static_cast<Counts*>(context);
  CHECK(worker >= 0 && worker < counts.threads);
  ++counts.tasks[task];
}

void every_task_runs_once(int tasks, int threads) {
  Counts counts(tasks, threads);
  tomolift::parallel_for(tasks, threads, count, &counts);
  for (const auto& runs : counts.tasks) CHECK(runs == 1);
}

void nest(void* context, int64_t, int) {
  tomolift::parallel_for(
      5, 3, [](void* sum, int64_t, int) { ++*static_cast<std::atomic<int>*>(sum); }, context);
}

}  // namespace

int main() {
  for (int threads : {1, 2, 3, 7}) {
    for (int tasks : {0, 1, 2, 1000}) every_task_runs_once(tasks, threads);
  }

  // a task may call the pool: it runs by itself then
  std::atomic<int> sum{0};
  tomolift::parallel_for(4, 3, nest, &sum);
  CHECK(sum == 20);

  // several callers at once
  std::vector<std::thread> callers;
  for (int i = 0; i < 4; ++i) {
    callers.emplace_back([] {
      for (int round = 0; round < 200; ++round) every_task_runs_once(50, 3);
    });
  }
  for (std::thread& caller : callers) caller.join();

  // a forked child has a pool of its own
  const pid_t child = fork();
  if (child == 0) {
    every_task_runs_once(1000, 3);
    _exit(0);
  }
  int status = -1;
  waitpid(child, &status, 0);
  CHECK(status == 0);
  every_task_runs_once(1000, 3);
  return 0;
}
