// The pass over the logits for any number of classes: a voxel at a time, its logits from the cache.
#pragma once

#include "block_sum.cuh"
#include "element.cuh"
#include "label_vectors.cuh"
#include "tomolift/voxel_functor.h"
#include "voxel_cross_entropy_job.cuh"

namespace tomolift {
namespace {

__device__ inline int load_one_truth(const DenseJob& job, int64_t position) {
  int truth = kIgnored;
  with_label_type(job.options.label_type, [&](auto type) {
    using Label = std::remove_const_t<std::remove_pointer_t<decltype(type)>>;
    const Label label = static_cast<const Label*>(job.buffers.labels)[position];
    truth = truth_of(label, job.shape.classes, job.options);
  });
  if (truth == kOutOfRange && job.buffers.fault != nullptr) {
    LabelFault* fault = job.buffers.fault;
    atomicAdd(reinterpret_cast<unsigned long long*>(&fault->count), 1ull);
    atomicMin(reinterpret_cast<long long*>(&fault->first_position), (long long)(position));
  }
  return truth;
}

template <typename Element>
__global__ void __launch_bounds__(kDenseThreads, 4) run_tiles_of_any_classes(DenseJob job) {
  __shared__ unsigned int matrix[kDenseSharedClasses * kDenseSharedClasses];
  const DenseShape& shape = job.shape;
  const DenseBuffers& buffers = job.buffers;
  const int64_t entries = shape.classes * shape.classes;
  const bool shared = shape.classes <= kDenseSharedClasses;
  for (int64_t i = threadIdx.x; shared && i < entries; i += kDenseThreads) matrix[i] = 0;
  __syncthreads();
  const TargetTerms<float> terms{job.hit, job.smooth, float(job.totals->smooth_total),
                                 job.options.label_smoothing > 0.0};
  const float* grad_output = static_cast<const float*>(buffers.grad_output);
  const unsigned int sample = blockIdx.x / (unsigned int)(job.tiles_per_sample);
  const int64_t begin = (blockIdx.x - int64_t(sample) * job.tiles_per_sample) * kDenseTile;
  const int64_t end = min(begin + kDenseTile, shape.voxels);
  double loss = 0.0;
  for (int64_t v = begin + threadIdx.x; v < end; v += kDenseThreads) {
    // 1 load
    const int64_t position = sample * shape.voxels + v;
    const int64_t offset = sample * shape.stride_batch + v * shape.stride_voxel;
    const int truth = load_one_truth(job, position);
    const float scale =
        buffers.grad_output_per_voxel ? grad_output[position] : float(job.totals->scale);
    // 2 compute, 3 store: each logit is read for the last time before its gradient is written
    const Element* logits = static_cast<const Element*>(buffers.logits) + offset;
    Element* gradient = static_cast<Element*>(buffers.gradient) + offset;
    const VoxelResult<float> voxel = voxel_cross_entropy_at<float>(
        shape.classes, truth, terms, scale, buffers.gradient != nullptr,
        [&](int64_t c) { return to_float(logits[c * shape.stride_class]); },
        [&](int64_t c, float value) { from_float(value, gradient[c * shape.stride_class]); });
    if (buffers.loss != nullptr && job.options.reduction == Reduction::kNone) {
      static_cast<float*>(buffers.loss)[position] = voxel.loss;
    }
    loss += double(voxel.loss);
    if (buffers.confusion == nullptr || truth < 0) continue;
    const int64_t entry = truth * shape.classes + voxel.prediction;
    if (shared) {
      atomicAdd(&matrix[entry], 1u);
    } else {
      atomicAdd(reinterpret_cast<unsigned long long*>(&buffers.confusion[entry]), 1ull);
    }
  }
  const double total = sum_block<kDenseThreads>(loss);  // its barrier completes the matrix
  if (threadIdx.x == 0) job.partials[blockIdx.x] = total;
  if (buffers.confusion == nullptr || !shared) return;
  for (int64_t i = threadIdx.x; i < entries; i += kDenseThreads) {
    if (matrix[i] == 0) continue;
    atomicAdd(reinterpret_cast<unsigned long long*>(&buffers.confusion[i]),
              (unsigned long long)(matrix[i]));
  }
}

}  // namespace
}  // namespace tomolift
