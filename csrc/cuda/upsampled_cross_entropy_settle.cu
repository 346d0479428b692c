// What follows the pass over the voxels: its sums in a fixed order, then the gradient.
#include "block_sum.cuh"
#include "label_vectors.cuh"
#include "tomolift/voxel_functor.h"
#include "upsampled_cross_entropy_job.cuh"

namespace tomolift {
namespace {

// One block waits for memory, and for nine loads a thread hardly longer than for one.
constexpr int kThreads = 256;
constexpr int kGatherThreads = 128;

// One thread's share of the valid voxels' weights, from the rows of the confusion matrix.
__device__ inline double weigh_classes(const BrickJob& job) {
  const int64_t classes = job.shape.classes;
  double total = 0.0;
  for (int64_t c = threadIdx.x; c < classes; c += kThreads) {
    int64_t count = 0;
    for (int64_t p = 0; p < classes; ++p) count += job.confusion[c * classes + p];
    // a class that does not occur takes no part, whatever its weight
    if (count > 0) {
      total += double(count) * (job.buffers.weight == nullptr ? 1.0 : job.buffers.weight[c]);
    }
  }
  return total;
}

__device__ inline int64_t label_at(const BrickJob& job, int64_t position) {
  int64_t label = 0;
  with_label_type(job.options.label_type, [&](auto type) {
    label = int64_t(static_cast<decltype(type)>(job.buffers.labels)[position]);
  });
  return label;
}

__device__ inline void settle_fault(const BrickJob& job, LabelFault& fault) {
  if (fault.count == 0) {
    fault.first_position = 0;
  } else {
    fault.first_value = label_at(job, fault.first_position);
  }
}

// One block: denominator, loss, and the report of labels out of range.
__global__ void __launch_bounds__(kThreads) settle(const __grid_constant__ BrickJob job) {
  // 1 load
  double partial = 0.0;
  const int64_t blocks = (job.bricks + kBrickWarps - 1) / kBrickWarps;
#pragma unroll 8
  for (int64_t i = threadIdx.x; i < blocks; i += kThreads) partial += job.loss_partials[i];
  const double weight = job.confusion != nullptr ? weigh_classes(job) : 0.0;
  // 2 reduce
  const double loss = sum_block<kThreads>(partial);
  __syncthreads();  // sum_block is for one sum at a time
  const double counted = sum_block<kThreads>(weight);
  // 3 store
  if (threadIdx.x != 0) return;
  double denominator = 1.0;
  if (job.buffers.known_denominator != nullptr) denominator = *job.buffers.known_denominator;
  if (job.confusion != nullptr) denominator = counted;
  const bool mean = job.options.reduction == Reduction::kMean;
  job.totals->denominator = denominator;
  // by zero each voxel was divided for itself, or nothing is valid and every sum is zero
  job.totals->gradient_scale = mean && denominator != 0.0 ? 1.0 / denominator : 1.0;
  if (job.buffers.denominator != nullptr) *job.buffers.denominator = denominator;
  if (job.buffers.fault != nullptr) settle_fault(job, *job.buffers.fault);
  if (job.buffers.loss == nullptr || job.options.reduction == Reduction::kNone) return;
  *static_cast<float*>(job.buffers.loss) = float(mean ? mean_of(loss, denominator) : loss);
}

struct LowVoxel {
  int64_t sample;
  int64_t c;
  int64_t index[3];
};

// What the tiles of one piece of a cell have for a low-resolution column, in their order.
__device__ inline double gather_tiles(const BrickJob& job, const LowVoxel& voxel, int corner,
                                      int64_t piece) {
  const CudaAxis& axis = job.axes[2];
  const int64_t column = voxel.index[2];
  // the output columns that have this one as a neighbour, and the tiles that they lie in
  const int begin = axis.first[column > 0 ? column - 1 : 0];
  const int end = axis.first[column + 1];
  double sum = 0.0;
  if (begin == end) return sum;  // as down-sampling leaves some
  for (int first = begin / kLanes * kLanes; first < end; first += kLanes) {
    const int64_t brick = piece * job.tiles + first / kLanes;
    const float* partials =
        job.gradient_partials + (brick * job.shape.classes + voxel.c) * 4 * job.span;
    sum += double(partials[corner * job.span + column - axis.lower[first]]);
  }
  return sum;
}

// The sum over all pieces of all cells around a low-resolution voxel, in their order.
__device__ inline double gather_voxel(const BrickJob& job, const LowVoxel& voxel) {
  double sum = 0.0;
  for (int corner = 0; corner < 4; ++corner) {
    const int64_t depth = voxel.index[0] - corner / 2;
    const int64_t height = voxel.index[1] - corner % 2;
    if (depth < 0 || height < 0) continue;
    for (int64_t i = 0; i < job.pieces[0]; ++i) {
      const int64_t slices = (voxel.sample * job.shape.low_size[0] + depth) * job.pieces[0] + i;
      for (int64_t j = 0; j < job.pieces[1]; ++j) {
        const int64_t rows = (slices * job.shape.low_size[1] + height) * job.pieces[1] + j;
        sum += gather_tiles(job, voxel, corner, rows);
      }
    }
  }
  return sum;
}

// Some planes (n, c) of the gradient, few enough to number their voxels in 32 bits: a division of
// 64 bits is a function call on the device.
struct Planes {
  uint32_t first;
  uint32_t voxels;
};

__device__ inline LowVoxel find_voxel(const BrickJob& job, Planes planes, uint32_t rest) {
  LowVoxel voxel;
#pragma unroll
  for (int axis = 2; axis >= 0; --axis) {
    voxel.index[axis] = rest % uint32_t(job.shape.low_size[axis]);
    rest /= uint32_t(job.shape.low_size[axis]);
  }
  rest += planes.first;
  voxel.c = rest % uint32_t(job.shape.classes);
  voxel.sample = rest / uint32_t(job.shape.classes);
  return voxel;
}

__global__ void __launch_bounds__(kGatherThreads)
    gather(const __grid_constant__ BrickJob job, Planes planes) {
  const uint32_t index = blockIdx.x * kGatherThreads + threadIdx.x;
  if (index >= planes.voxels) return;
  // 1 load
  const LowVoxel voxel = find_voxel(job, planes, index);
  double scale = job.totals->gradient_scale;
  if (job.buffers.grad_output != nullptr && !job.buffers.grad_output_per_voxel) {
    scale *= double(*static_cast<const float*>(job.buffers.grad_output));
  }
  // 2 compute
  const double sum = job.bricks > 0 ? gather_voxel(job, voxel) : 0.0;
  // 3 store; where nothing took part, not even an infinite grad_output brings a NaN
  float* gradient =
      static_cast<float*>(job.buffers.gradient) + planes.first * low_voxels_of(job.shape);
  gradient[index] = sum == 0.0 ? 0.0f : float(sum * scale);
}

}  // namespace

cudaError_t enqueue_brick_settling(const BrickJob& job, cudaStream_t stream) {
  return enqueue(settle, 1, kThreads, stream, job);
}

cudaError_t enqueue_brick_gathering(const BrickJob& job, cudaStream_t stream) {
  const int64_t planes = job.shape.batch * job.shape.classes;
  const int64_t volume = low_voxels_of(job.shape);
  if (planes == 0 || volume == 0) return cudaSuccess;
  // the last block may number voxels beyond the last plane
  const int64_t most = (int64_t(UINT32_MAX) - kGatherThreads) / volume;
  if (most == 0 || planes > UINT32_MAX) return cudaErrorInvalidValue;
  for (int64_t first = 0; first < planes; first += most) {
    const int64_t count = planes - first < most ? planes - first : most;
    const int64_t blocks = (count * volume + kGatherThreads - 1) / kGatherThreads;
    const Planes some{uint32_t(first), uint32_t(count * volume)};
    const cudaError_t error = enqueue(gather, blocks, kGatherThreads, stream, job, some);
    if (error != cudaSuccess) return error;
  }
  return cudaSuccess;
}

}  // namespace tomolift
