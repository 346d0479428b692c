// A kernel launch that reads like a call, and compiles on the CPU's stand-in for CUDA as well.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

namespace tomolift {

template <typename... Parameters, typename... Arguments>
cudaError_t enqueue(void (*kernel)(Parameters...), int64_t blocks, int threads, cudaStream_t stream,
                    const Arguments&... arguments) {
  cudaLaunchConfig_t config{};
  config.gridDim = dim3((unsigned int)(blocks));
  config.blockDim = dim3((unsigned int)(threads));
  config.stream = stream;
  return cudaLaunchKernelEx(&config, kernel, arguments...);
}

}  // namespace tomolift
