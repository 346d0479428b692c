// The dense op on CUDA: fixed tiles, double partial sums, integer atomics; the same bits every run.
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>

#include "tomolift/voxel_cross_entropy.h"
#include "tomolift/voxel_functor.h"

namespace tomolift {
namespace {

constexpr int kThreads = 256;
// 16 voxels a thread: enough to hide the block's reduction, and few enough tiles to sum quickly.
constexpr int64_t kTile = 4096;
// A block's own confusion matrix lies in shared memory up to this many classes (4 KiB); beyond,
// counts go to global memory one by one.
constexpr int kSharedClasses = 32;

// What the host lays out in the workspace, in this order.
struct Workspace {
  float* hit;        // [C], as in TargetTerms
  float* smooth;     // [C]
  double* totals;    // [2]: smooth_total, then the denominator the gradient divides by
  int64_t* counts;   // [C], valid voxels of each class
  double* partials;  // [tiles]
};

struct Arguments {
  DenseShape shape;
  CrossEntropyOptions options;
  DenseBuffers buffers;
  Workspace workspace;
  int64_t tiles_per_sample;
};

int64_t tiles_of(const DenseShape& shape) { return (shape.voxels + kTile - 1) / kTile; }

__device__ float to_real(float value) { return value; }
__device__ float to_real(__half value) { return __half2float(value); }
__device__ float to_real(__nv_bfloat16 value) { return __bfloat162float(value); }
__device__ void from_real(float value, float& out) { out = value; }
__device__ void from_real(float value, __half& out) { out = __float2half_rn(value); }
__device__ void from_real(float value, __nv_bfloat16& out) { out = __float2bfloat16_rn(value); }

template <typename Label>
__device__ int64_t load_label(const void* labels, int64_t position) {
  return int64_t(static_cast<const Label*>(labels)[position]);
}

// The class, or -1 where the voxel takes part in nothing; counts what is out of range.
__device__ int64_t read_label(const Arguments& a, int64_t position, LabelFault* fault) {
  int64_t label = 0;
  switch (a.options.label_type) {
    case LabelType::kUInt8:
      label = load_label<uint8_t>(a.buffers.labels, position);
      break;
    case LabelType::kInt16:
      label = load_label<int16_t>(a.buffers.labels, position);
      break;
    case LabelType::kInt32:
      label = load_label<int32_t>(a.buffers.labels, position);
      break;
    case LabelType::kInt64:
      label = load_label<int64_t>(a.buffers.labels, position);
      break;
  }
  if (a.options.has_ignore_index && label == a.options.ignore_index) return -1;
  if (label >= 0 && label < a.shape.classes) return label;
  if (fault != nullptr) {
    atomicAdd(reinterpret_cast<unsigned long long*>(&fault->count), 1ull);
    atomicMin(reinterpret_cast<long long*>(&fault->first_position), (long long)(position));
  }
  return -1;
}

// The target tables, and zeros where the other kernels count.
__global__ void prepare(Arguments a) {
  const int64_t classes = a.shape.classes;
  const int64_t stride = int64_t(gridDim.x) * blockDim.x;
  const int64_t first = int64_t(blockIdx.x) * blockDim.x + threadIdx.x;
  for (int64_t c = first; c < classes; c += stride) {
    const double weight = a.buffers.weight == nullptr ? 1.0 : a.buffers.weight[c];
    a.workspace.hit[c] = float((1.0 - a.options.label_smoothing) * weight);
    a.workspace.smooth[c] = float(a.options.label_smoothing / double(classes) * weight);
    a.workspace.counts[c] = 0;
  }
  if (a.buffers.confusion != nullptr) {
    for (int64_t i = first; i < classes * classes; i += stride) a.buffers.confusion[i] = 0;
  }
  if (first != 0) return;
  double smooth_total = 0.0;
  for (int64_t c = 0; c < classes; ++c) {
    const double weight = a.buffers.weight == nullptr ? 1.0 : a.buffers.weight[c];
    smooth_total += a.options.label_smoothing / double(classes) * weight;
  }
  a.workspace.totals[0] = smooth_total;
  if (a.buffers.fault != nullptr) *a.buffers.fault = {0, INT64_MAX};
}

// The mean's gradient needs the valid voxels of each class before the pass over the logits.
__global__ void count_labels(Arguments a) {
  __shared__ unsigned int counts[kSharedClasses];
  const bool shared = a.shape.classes <= kSharedClasses;
  if (threadIdx.x < kSharedClasses) counts[threadIdx.x] = 0;
  __syncthreads();
  const int64_t total = a.shape.batch * a.shape.voxels;
  const int64_t begin = int64_t(blockIdx.x) * kTile;
  for (int64_t i = begin + threadIdx.x; i < begin + kTile && i < total; i += kThreads) {
    const int64_t label = read_label(a, i, nullptr);
    if (label < 0) continue;
    if (shared) {
      atomicAdd(&counts[label], 1u);
    } else {
      atomicAdd(reinterpret_cast<unsigned long long*>(&a.workspace.counts[label]), 1ull);
    }
  }
  __syncthreads();
  if (!shared || threadIdx.x >= a.shape.classes || counts[threadIdx.x] == 0) return;
  atomicAdd(reinterpret_cast<unsigned long long*>(&a.workspace.counts[threadIdx.x]),
            (unsigned long long)(counts[threadIdx.x]));
}

// The denominator from the counts of the classes; one thread, in the order of the classes.
__device__ double weighted_count(const Arguments& a, bool from_confusion) {
  double total = 0.0;
  for (int64_t c = 0; c < a.shape.classes; ++c) {
    int64_t count = 0;
    if (from_confusion) {
      for (int64_t p = 0; p < a.shape.classes; ++p) {
        count += a.buffers.confusion[c * a.shape.classes + p];
      }
    } else {
      count = a.workspace.counts[c];
    }
    if (count > 0)
      total += double(count) * (a.buffers.weight == nullptr ? 1.0 : a.buffers.weight[c]);
  }
  return total;
}

__global__ void settle_denominator(Arguments a) {
  double denominator = 1.0;
  if (a.buffers.known_denominator != nullptr) {
    denominator = *a.buffers.known_denominator;
  } else if (a.options.reduction == Reduction::kMean && a.buffers.gradient != nullptr) {
    denominator = weighted_count(a, false);
  }
  a.workspace.totals[1] = denominator;
}

// Sum over the block in a fixed order; the result is valid in thread 0.
__device__ double sum_block(double value) {
  __shared__ double values[kThreads];
  values[threadIdx.x] = value;
  __syncthreads();
  for (int half = kThreads / 2; half > 0; half /= 2) {
    if (int(threadIdx.x) < half) values[threadIdx.x] += values[threadIdx.x + half];
    __syncthreads();
  }
  return values[0];
}

// One tile a block. kClasses > 0 keeps a voxel's logits in registers; 0 is for any number.
template <typename Element, int kClasses>
__global__ void __launch_bounds__(kThreads) run_tiles(Arguments a) {
  __shared__ unsigned int matrix[kSharedClasses * kSharedClasses];
  __shared__ float hit[kSharedClasses];
  __shared__ float smooth[kSharedClasses];
  const int64_t classes = kClasses > 0 ? kClasses : a.shape.classes;
  const bool shared = classes <= kSharedClasses;
  if (shared) {
    for (int64_t i = threadIdx.x; i < classes * classes; i += kThreads) matrix[i] = 0;
    for (int64_t c = threadIdx.x; c < classes; c += kThreads) {
      hit[c] = a.workspace.hit[c];
      smooth[c] = a.workspace.smooth[c];
    }
  }
  __syncthreads();
  const bool smoothed = a.options.label_smoothing > 0.0;
  const float smooth_total = float(a.workspace.totals[0]);
  const float* grad_output = static_cast<const float*>(a.buffers.grad_output);
  const bool per_voxel = grad_output != nullptr && a.buffers.grad_output_per_voxel;
  double scale = a.options.reduction == Reduction::kMean ? 1.0 / a.workspace.totals[1] : 1.0;
  if (grad_output != nullptr && !per_voxel) scale *= double(grad_output[0]);
  const bool want_gradient = a.buffers.gradient != nullptr;

  const int64_t sample = int64_t(blockIdx.x) / a.tiles_per_sample;
  const int64_t begin = int64_t(blockIdx.x) % a.tiles_per_sample * kTile;
  const int64_t end = begin + kTile < a.shape.voxels ? begin + kTile : a.shape.voxels;
  double loss = 0.0;
  for (int64_t v = begin + threadIdx.x; v < end; v += kThreads) {
    // 1 load
    const int64_t position = sample * a.shape.voxels + v;
    const int64_t offset = sample * a.shape.stride_batch + v * a.shape.stride_voxel;
    const int64_t truth = read_label(a, position, a.buffers.fault);
    const Element* logits = static_cast<const Element*>(a.buffers.logits) + offset;
    Element* gradient = static_cast<Element*>(a.buffers.gradient) + offset;
    const float voxel_scale = per_voxel ? grad_output[position] : float(scale);
    const auto store = [&](int64_t c, float value) {
      from_real(value, gradient[c * a.shape.stride_class]);
    };
    VoxelResult<float> result;
    if constexpr (kClasses > 0) {
      float z[kClasses];
#pragma unroll
      for (int c = 0; c < kClasses; ++c) z[c] = to_real(logits[c * a.shape.stride_class]);
      // indexing by a select keeps the logits in registers where c is not known
      const auto load = [&](int64_t c) {
        float value = z[0];
#pragma unroll
        for (int k = 1; k < kClasses; ++k) value = c == k ? z[k] : value;
        return value;
      };
      const TargetTerms<float> terms{hit, smooth, smooth_total, smoothed};
      result = voxel_cross_entropy_at<float>(kClasses, truth, terms, voxel_scale, want_gradient,
                                             load, store);
    } else {
      const auto load = [&](int64_t c) { return to_real(logits[c * a.shape.stride_class]); };
      const TargetTerms<float> terms{shared ? hit : a.workspace.hit,
                                     shared ? smooth : a.workspace.smooth, smooth_total, smoothed};
      result = voxel_cross_entropy_at<float>(classes, truth, terms, voxel_scale, want_gradient,
                                             load, store);
    }
    // 2 reduce
    if (a.buffers.confusion != nullptr && truth >= 0) {
      const int64_t entry = truth * classes + result.prediction;
      if (shared) {
        atomicAdd(&matrix[entry], 1u);
      } else {
        atomicAdd(reinterpret_cast<unsigned long long*>(&a.buffers.confusion[entry]), 1ull);
      }
    }
    if (a.buffers.loss != nullptr && a.options.reduction == Reduction::kNone) {
      static_cast<float*>(a.buffers.loss)[position] = result.loss;
    }
    loss += double(result.loss);
  }
  // 3 store
  const double total = sum_block(loss);
  if (threadIdx.x == 0) a.workspace.partials[blockIdx.x] = total;
  if (a.buffers.confusion == nullptr || !shared) return;
  for (int64_t i = threadIdx.x; i < classes * classes; i += kThreads) {
    if (matrix[i] == 0) continue;
    atomicAdd(reinterpret_cast<unsigned long long*>(&a.buffers.confusion[i]),
              (unsigned long long)(matrix[i]));
  }
}

// One block: the partial sums in a fixed order, then loss and denominator.
__global__ void finish(Arguments a, int64_t tiles) {
  double sum = 0.0;
  for (int64_t i = threadIdx.x; i < tiles; i += kThreads) sum += a.workspace.partials[i];
  const double total = sum_block(sum);
  if (threadIdx.x != 0) return;
  const double denominator =
      a.buffers.confusion != nullptr ? weighted_count(a, true) : a.workspace.totals[1];
  if (a.buffers.denominator != nullptr) *a.buffers.denominator = denominator;
  if (a.buffers.loss == nullptr || a.options.reduction == Reduction::kNone) return;
  const bool mean = a.options.reduction == Reduction::kMean;
  *static_cast<float*>(a.buffers.loss) = float(mean ? total / denominator : total);
}

template <typename Element>
void launch_tiles(const Arguments& a, unsigned int tiles, cudaStream_t stream) {
  switch (a.shape.classes) {
    case 2:
      return run_tiles<Element, 2><<<tiles, kThreads, 0, stream>>>(a);
    case 3:
      return run_tiles<Element, 3><<<tiles, kThreads, 0, stream>>>(a);
    case 4:
      return run_tiles<Element, 4><<<tiles, kThreads, 0, stream>>>(a);
    default:
      return run_tiles<Element, 0><<<tiles, kThreads, 0, stream>>>(a);
  }
}

int64_t padded(int64_t bytes) { return (bytes + 63) / 64 * 64; }

}  // namespace

int64_t voxel_cross_entropy_cuda_workspace(const DenseShape& shape) {
  return 3 * padded(shape.classes * 8) + padded(2 * 8) + padded(shape.batch * tiles_of(shape) * 8);
}

int voxel_cross_entropy_cuda(const DenseShape& shape, const CrossEntropyOptions& options,
                             const DenseBuffers& buffers, void* stream_handle) {
  const cudaStream_t stream = static_cast<cudaStream_t>(stream_handle);
  const int64_t tiles = shape.batch * tiles_of(shape);
  if (options.logits_type == LogitsType::kFloat64 || tiles > INT32_MAX) {
    return int(cudaErrorInvalidValue);
  }
  Arguments a{shape, options, buffers, {}, tiles_of(shape)};
  char* memory = static_cast<char*>(buffers.workspace);
  const int64_t table = padded(shape.classes * 8);
  a.workspace.hit = reinterpret_cast<float*>(memory);
  a.workspace.smooth = reinterpret_cast<float*>(memory + table);
  a.workspace.counts = reinterpret_cast<int64_t*>(memory + 2 * table);
  a.workspace.totals = reinterpret_cast<double*>(memory + 3 * table);
  a.workspace.partials = reinterpret_cast<double*>(memory + 3 * table + 64);

  prepare<<<8, kThreads, 0, stream>>>(a);
  const bool count = options.reduction == Reduction::kMean && buffers.gradient != nullptr &&
                     buffers.known_denominator == nullptr;
  if (count && tiles > 0) {
    const int64_t blocks = (shape.batch * shape.voxels + kTile - 1) / kTile;
    count_labels<<<(unsigned int)(blocks), kThreads, 0, stream>>>(a);
  }
  settle_denominator<<<1, 1, 0, stream>>>(a);
  if (tiles > 0) {
    switch (options.logits_type) {
      case LogitsType::kBFloat16:
        launch_tiles<__nv_bfloat16>(a, (unsigned int)(tiles), stream);
        break;
      case LogitsType::kFloat16:
        launch_tiles<__half>(a, (unsigned int)(tiles), stream);
        break;
      default:
        launch_tiles<float>(a, (unsigned int)(tiles), stream);
        break;
    }
  }
  finish<<<1, kThreads, 0, stream>>>(a, tiles);
  return int(cudaGetLastError());
}

const char* cuda_error_message(int error) {
  return cudaGetErrorString(static_cast<cudaError_t>(error));
}

}  // namespace tomolift
