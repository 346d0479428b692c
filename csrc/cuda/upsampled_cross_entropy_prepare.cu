// What the pass over the voxels needs: axis tables, logits as float, class tables, zeros to count
// on.
#include "element.cuh"
#include "upsampled_cross_entropy_job.cuh"

namespace tomolift {
namespace {

constexpr int kThreads = 256;
// Enough to keep any device busy; each thread takes what is left in turns.
constexpr int64_t kMostBlocks = 1024;

__device__ inline void fill_axis(const BrickJob& job, int axis, int64_t first, int64_t step) {
  const CudaAxis& table = job.axes[axis];
  const int64_t low_size = job.shape.low_size[axis];
  const int64_t size = job.shape.size[axis];
  for (int64_t i = first; i < size; i += step) {
    const double stride = job.shape.stride[axis];
    const AxisSample sample = sample_axis(job.shape.sampling, stride, low_size, size, i);
    table.lower[i] = int32_t(sample.lower);
    table.weight[i] = float(sample.weight_upper);
    // this index is the first for every cell after the one that the index before lies in
    int64_t cell = 0;
    if (i > 0) cell = sample_axis(job.shape.sampling, stride, low_size, size, i - 1).lower + 1;
    for (; cell <= sample.lower; ++cell) table.first[cell] = int32_t(i);
    if (i + 1 < size) continue;
    for (; cell <= low_size; ++cell) table.first[cell] = int32_t(size);
  }
}

// Index is 32 bits wide where that suffices: a division of 64 bits takes three times as long.
template <typename Element, typename Index>
__device__ inline void copy_logits_by(const BrickJob& job, Index count, int64_t first,
                                      int64_t step) {
  const Element* source = static_cast<const Element*>(job.buffers.low_logits);
  for (int64_t i = first; i < int64_t(count); i += step) {
    Index rest = Index(i);
    int64_t offset = 0;
#pragma unroll
    for (int axis = 2; axis >= 0; --axis) {
      const Index size = Index(job.shape.low_size[axis]);
      offset += int64_t(rest % size) * job.shape.stride_axis[axis];
      rest /= size;
    }
    offset += int64_t(rest % Index(job.shape.classes)) * job.shape.stride_class;
    offset += int64_t(rest / Index(job.shape.classes)) * job.shape.stride_batch;
    job.low_copy[i] = to_float(source[offset]);
  }
}

template <typename Element>
__device__ inline void copy_logits(const BrickJob& job, int64_t first, int64_t step) {
  const int64_t count = job.shape.batch * job.shape.classes * low_voxels_of(job.shape);
  if (count <= UINT32_MAX) return copy_logits_by<Element>(job, uint32_t(count), first, step);
  copy_logits_by<Element>(job, count, first, step);
}

__device__ inline void convert_logits(const BrickJob& job, int64_t first, int64_t step) {
  switch (job.options.logits_type) {
    case LogitsType::kFloat32:
      return copy_logits<float>(job, first, step);
    case LogitsType::kBFloat16:
      return copy_logits<__nv_bfloat16>(job, first, step);
    case LogitsType::kFloat16:
      return copy_logits<__half>(job, first, step);
    case LogitsType::kFloat64:  // refused by the caller
      return;
  }
}

__device__ inline void fill_class_tables(const BrickJob& job, int64_t first, int64_t step) {
  const int64_t classes = job.shape.classes;
  const double* weight = job.buffers.weight;
  const double smoothing = job.options.label_smoothing;
  for (int64_t c = first; c < classes; c += step) {
    const double class_weight = weight == nullptr ? 1.0 : weight[c];
    job.hit[c] = float((1.0 - smoothing) * class_weight);
    job.smooth[c] = float(smoothing / double(classes) * class_weight);
  }
  if (first != 0) return;
  double total = 0.0;
  if (smoothing > 0.0) {
    for (int64_t c = 0; c < classes; ++c) total += weight == nullptr ? 1.0 : weight[c];
  }
  job.totals->smooth_total = smoothing / double(classes) * total;
}

__global__ void __launch_bounds__(kThreads) prepare(const __grid_constant__ BrickJob job) {
  const int64_t first = int64_t(blockIdx.x) * kThreads + threadIdx.x;
  const int64_t step = int64_t(gridDim.x) * kThreads;
  for (int axis = 0; axis < 3; ++axis) fill_axis(job, axis, first, step);
  if (job.low_copy != nullptr) convert_logits(job, first, step);
  if (job.buffers.predictions != nullptr) return;
  fill_class_tables(job, first, step);
  if (job.confusion != nullptr) {
    const int64_t entries = job.shape.classes * job.shape.classes;
    for (int64_t i = first; i < entries; i += step) job.confusion[i] = 0;
  }
  if (first == 0 && job.buffers.fault != nullptr) *job.buffers.fault = {0, INT64_MAX, 0};
}

}  // namespace

cudaError_t enqueue_brick_preparation(const BrickJob& job, cudaStream_t stream) {
  const int64_t count = job.shape.batch * job.shape.classes * low_voxels_of(job.shape);
  const int64_t blocks = count / kThreads + 1;
  return enqueue(prepare, blocks < kMostBlocks ? blocks : kMostBlocks, kThreads, stream, job);
}

}  // namespace tomolift
