// A stand-in for CUDA that runs kernels on the CPU, for tests where there is no GPU.
//
// Put this folder first on the include path and compile the .cu files as C++ (CMake's function
// add_emulated_cuda does): what nvcc compiles stays as it is. A block runs at a time, its threads
// as fibers of one OS thread that change over where a thread waits for others. What is checked:
//   * a barrier or warp operation that not all of its threads reach stops the program and names the
//     threads and lines; so does one reached on different lines. An exited thread counts as
//     missing, which is stricter than the hardware.
//   * a missing barrier: blocks and threads run in ascending, descending or shuffled order
//     (set_schedule in schedule.h), and results must not depend on it; under TSan it is a data
//     race.
//   * addresses: device memory is host memory, so that ASan sees every access out of bounds, and
//     UBSan and the loads of memory.h every misaligned vector.
//   * dynamic shared memory is filled with NaN before each block.
// What is not: speed, registers, the rounding of approximate instructions (they are exact here),
// memory ordering between blocks (they run one after another), and code between #ifdef
// __CUDA_ARCH__.
//
// The .cu files hold to what this offers: launches by cudaLaunchKernelEx, never <<<>>>; dynamic
// shared memory under the name `dynamic_shared_memory` (keywords.h); no inline PTX outside
// __CUDACC__.
#pragma once

#include "arithmetic.h"
#include "atomics.h"
#include "keywords.h"
#include "launch.h"
#include "memory.h"
#include "vectors.h"
#include "warp.h"
