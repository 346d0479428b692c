// What comes before and after the pass over the logits: tables, denominators, the loss.
#include <algorithm>

#include "block_sum.cuh"
#include "tomolift/voxel_functor.h"
#include "voxel_cross_entropy_job.cuh"

namespace tomolift {
namespace {

constexpr int kPrepareThreads = 256;
constexpr int64_t kPrepareBlocks = 64;  // at most; a matrix of many classes is to be zeroed
// One block waits for memory: the more threads wait at a time, the sooner it is done.
constexpr int kFinishThreads = 1024;

__device__ double weight_of(const DenseJob& job, int64_t c) {
  return job.buffers.weight == nullptr ? 1.0 : job.buffers.weight[c];
}

__device__ double sum_smooth(const DenseJob& job) {
  // not 0 * inf where nothing is smoothed
  if (job.buffers.weight == nullptr || job.options.label_smoothing == 0.0) {
    return job.options.label_smoothing;
  }
  double total = 0.0;
  for (int64_t c = 0; c < job.shape.classes; ++c) {
    total += job.options.label_smoothing / double(job.shape.classes) * job.buffers.weight[c];
  }
  return total;
}

__device__ void set_denominator(const DenseJob& job, double denominator) {
  double scale = job.options.reduction == Reduction::kMean ? mean_of(1.0, denominator) : 1.0;
  if (job.buffers.grad_output != nullptr && !job.buffers.grad_output_per_voxel) {
    scale *= double(*static_cast<const float*>(job.buffers.grad_output));
  }
  job.totals->denominator = denominator;
  job.totals->scale = scale;
}

// The target tables, and zeros where the other kernels count.
__global__ void prepare(DenseJob job) {
  const int64_t classes = job.shape.classes;
  const int64_t stride = int64_t(gridDim.x) * blockDim.x;
  const int64_t first = int64_t(blockIdx.x) * blockDim.x + threadIdx.x;
  for (int64_t c = first; c < classes; c += stride) {
    const double weight = weight_of(job, c);
    job.hit[c] = float((1.0 - job.options.label_smoothing) * weight);
    job.smooth[c] = float(job.options.label_smoothing / double(classes) * weight);
    job.counts[c] = 0;
  }
  if (job.buffers.confusion != nullptr) {
    for (int64_t i = first; i < classes * classes; i += stride) job.buffers.confusion[i] = 0;
  }
  if (first != 0) return;
  job.totals->smooth_total = sum_smooth(job);
  const double* known = job.buffers.known_denominator;
  if (!needs_label_count(job)) set_denominator(job, known == nullptr ? 1.0 : *known);
  if (job.buffers.fault != nullptr) *job.buffers.fault = {0, INT64_MAX, 0};
}

// From the valid voxels of each class, in the order of the classes.
__device__ double weigh_counts(const DenseJob& job) {
  double total = 0.0;
  for (int64_t c = 0; c < job.shape.classes; ++c) {
    if (job.counts[c] > 0) total += double(job.counts[c]) * weight_of(job, c);
  }
  return total;
}

__global__ void settle_denominator(DenseJob job) { set_denominator(job, weigh_counts(job)); }

__device__ int64_t count_row(const DenseJob& job, int64_t truth) {
  int64_t count = 0;
  for (int64_t p = 0; p < job.shape.classes; ++p) {
    count += job.buffers.confusion[truth * job.shape.classes + p];
  }
  return count;
}

__device__ int64_t label_at(const DenseJob& job, int64_t position) {
  switch (job.options.label_type) {
    case LabelType::kUInt8:
      return static_cast<const uint8_t*>(job.buffers.labels)[position];
    case LabelType::kInt16:
      return static_cast<const int16_t*>(job.buffers.labels)[position];
    case LabelType::kInt32:
      return static_cast<const int32_t*>(job.buffers.labels)[position];
    default:
      return static_cast<const int64_t*>(job.buffers.labels)[position];
  }
}

// One block: the tiles' sums in a fixed order, then loss and denominator.
__global__ void __launch_bounds__(kFinishThreads) finish(DenseJob job) {
  const DenseBuffers& buffers = job.buffers;
  const bool known = buffers.known_denominator != nullptr || needs_label_count(job);
  const bool from_matrix = !known && buffers.confusion != nullptr;
  // 1 load
  double sum = 0.0;
  for (int64_t i = threadIdx.x; i < job.tiles; i += kFinishThreads) sum += job.partials[i];
  for (int64_t c = threadIdx.x; from_matrix && c < job.shape.classes; c += kFinishThreads) {
    job.counts[c] = count_row(job, c);
  }
  // 2 reduce; its barrier also makes the counts visible
  const double total = sum_block<kFinishThreads>(sum);
  if (threadIdx.x != 0) return;
  // 3 store
  if (buffers.fault != nullptr && buffers.fault->count > 0) {
    buffers.fault->first_value = label_at(job, buffers.fault->first_position);
  }
  const double denominator = from_matrix ? weigh_counts(job) : job.totals->denominator;
  if (buffers.denominator != nullptr) *buffers.denominator = denominator;
  if (buffers.loss == nullptr || job.options.reduction == Reduction::kNone) return;
  const bool mean = job.options.reduction == Reduction::kMean;
  *static_cast<float*>(buffers.loss) = float(mean ? mean_of(total, denominator) : total);
}

}  // namespace

cudaError_t enqueue_preparation(const DenseJob& job, cudaStream_t stream) {
  const int64_t entries = job.shape.classes * job.shape.classes;
  const int64_t blocks =
      std::min((entries + kPrepareThreads - 1) / kPrepareThreads, kPrepareBlocks);
  return enqueue(prepare, blocks, kPrepareThreads, stream, job);
}

cudaError_t enqueue_settling(const DenseJob& job, cudaStream_t stream) {
  return enqueue(settle_denominator, 1, 1, stream, job);
}

cudaError_t enqueue_finish(const DenseJob& job, cudaStream_t stream) {
  return enqueue(finish, 1, kFinishThreads, stream, job);
}

}  // namespace tomolift
