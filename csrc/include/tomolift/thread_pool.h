// A small persistent thread pool: torch bundles its own OpenMP, and two of them quarrel over cores.
#pragma once

#include <cstdint>

namespace tomolift {

// Runs run(context, task, worker) for every task in [0, tasks) on at most `threads` threads, the
// caller among them; `worker` is in [0, threads). A call that finds the pool busy, or comes from
// inside a task, runs by itself as worker 0. Survives fork: the child starts a pool of its own.
using TaskFunction = void (*)(void* context, int64_t task, int worker);
void parallel_for(int64_t tasks, int threads, TaskFunction run, void* context);

}  // namespace tomolift
