// Scales a stored gradient by a factor that only the device knows.
#include <algorithm>

#include "element.cuh"
#include "enqueue.cuh"
#include "tomolift/scale_gradient.h"

namespace tomolift {
namespace {

constexpr int kThreads = 256;
// A fixed grid, so that where the factor is one few blocks have to start only to return.
constexpr int64_t kMostBlocks = 2048;

__device__ inline float times(float value, float factor) {
  return value == 0.0f ? value : value * factor;
}

template <typename Element>
__device__ inline uint32_t scale_word(uint32_t word, float factor) {
  const Element* const type = nullptr;
  constexpr int kCount = 4 / int(sizeof(Element));
  float values[kCount];
  unpack(word, type, values);
#pragma unroll
  for (int i = 0; i < kCount; ++i) values[i] = times(values[i], factor);
  return pack(values, type);
}

template <typename Element>
__global__ void __launch_bounds__(kThreads)
    scale(const Element* gradient, Element* out, int64_t count, bool aligned,
          const float* factors) {
  const float factor = *factors;
  if (factor == 1.0f && out == gradient) return;
  const int64_t thread = int64_t(blockIdx.x) * kThreads + threadIdx.x;
  const int64_t threads = int64_t(gridDim.x) * kThreads;
  constexpr int kPack = 16 / int(sizeof(Element));
  const int64_t packs = aligned ? count / kPack : 0;
#pragma unroll 4
  for (int64_t i = thread; i < packs; i += threads) {
    // 1 load
    uint4 pack = __ldcs(reinterpret_cast<const uint4*>(gradient) + i);
    // 2 compute
    pack.x = scale_word<Element>(pack.x, factor);
    pack.y = scale_word<Element>(pack.y, factor);
    pack.z = scale_word<Element>(pack.z, factor);
    pack.w = scale_word<Element>(pack.w, factor);
    // 3 store
    __stcs(reinterpret_cast<uint4*>(out) + i, pack);
  }
  for (int64_t i = packs * kPack + thread; i < count; i += threads) {
    from_float(times(to_float(gradient[i]), factor), out[i]);
  }
}

template <typename Element>
cudaError_t enqueue_scale(int64_t count, const float* factor, const void* gradient, void* out,
                          cudaStream_t stream) {
  const bool aligned = (reinterpret_cast<uintptr_t>(gradient) % 16 == 0) &&
                       (reinterpret_cast<uintptr_t>(out) % 16 == 0);
  const int64_t needed = (count * int64_t(sizeof(Element)) + 16 * kThreads - 1) / (16 * kThreads);
  return enqueue(scale<Element>, std::min(needed, kMostBlocks), kThreads, stream,
                 static_cast<const Element*>(gradient), static_cast<Element*>(out), count, aligned,
                 factor);
}

}  // namespace

int scale_gradient_cuda(LogitsType type, int64_t count, const float* factor, const void* gradient,
                        void* out, void* stream_handle) {
  if (count == 0) return int(cudaSuccess);
  const cudaStream_t stream = static_cast<cudaStream_t>(stream_handle);
  switch (type) {
    case LogitsType::kFloat32:
      return int(enqueue_scale<float>(count, factor, gradient, out, stream));
    case LogitsType::kBFloat16:
      return int(enqueue_scale<__nv_bfloat16>(count, factor, gradient, out, stream));
    case LogitsType::kFloat16:
      return int(enqueue_scale<__half>(count, factor, gradient, out, stream));
    default:
      return int(cudaErrorInvalidValue);
  }
}

}  // namespace tomolift
