// The pass over the output voxels for any number of classes, one class after the other.
//
// Each slice of a brick is walked twice, to find the softmax's denominators and to write gradients;
// corners are read again each time (from the caches), and a class's gradients go to the partial
// sums slice by slice. Memory does not grow with the number of classes.
#include <cmath>

#include "approximate.cuh"
#include "tomolift/voxel_functor.h"
#include "upsampled_cross_entropy_store.cuh"
#include "upsampled_cross_entropy_truth.cuh"

namespace tomolift {
namespace {

// Output rows whose state lies in registers: the usual eight between two low-resolution rows.
constexpr int kRows = 8;
// A block's own confusion matrix lies in shared memory up to this many classes (4 KiB); beyond,
// counts go to global memory one by one.
constexpr int kSharedClasses = 32;

// A lane's voxels on these rows of one slice.
struct Rows {
  float weight[kRows];  // of the low-resolution row above
  int truth[kRows];
  float maximum[kRows];
  float sum[kRows];          // of exp(logit - maximum)
  float truth_logit[kRows];  // read where the voxel is valid
  int prediction[kRows];
  float loss[kRows];
  float scale[kRows];            // of the gradient, and with
  float per_exponential[kRows];  // what an exponential adds to it
};

__device__ inline void take_logit(Rows& rows, int r, float z, int c) {
  const float maximum = rows.maximum[r];
  // equal logits by themselves: the difference of two infinities is NaN
  const float ratio = z == maximum ? 1.0f : exp_nonpositive(-fabsf(z - maximum));
  const bool wins = c == 0 || beats(z, maximum);
  const float sum = z > maximum ? fmaf(rows.sum[r], ratio, 1.0f) : rows.sum[r] + ratio;
  rows.sum[r] = c == 0 ? 1.0f : sum;
  rows.maximum[r] = wins ? z : maximum;
  rows.prediction[r] = wins ? c : rows.prediction[r];
  rows.truth_logit[r] = rows.truth[r] == c ? z : rows.truth_logit[r];
}

// One lane's walk down its column.
class ClassWalk {
 public:
  __device__ ClassWalk(const BrickJob& job, const Brick& brick, unsigned int* matrix,
                       float (*stage)[kStageColumns], float* out)
      : job_(job),
        brick_(brick),
        column_(find_column(job, brick)),
        corners_(job, brick, column_),
        matrix_(matrix),
        stage_(stage),
        out_(out) {}

  __device__ double run() {
    double loss = 0.0;
    bool add = false;
    for (int slice = brick_.begin[0]; slice < brick_.end[0]; ++slice) {
      for (int row = brick_.begin[1]; row < brick_.end[1]; row += kRows) {
        loss += double(run_rows(slice, row, add));
        add = true;
      }
    }
    if (!add && out_ != nullptr) {  // an empty brick, as down-sampling has them
      const int64_t count = 4 * job_.shape.classes * job_.span;
      for (int64_t i = threadIdx.x % kLanes; i < count; i += kLanes) out_[i] = 0.0f;
    }
    return loss;
  }

 private:
  __device__ float run_rows(int slice, int first_row, bool add) {
    // 1 load
    const int64_t width = job_.shape.size[2];
    const int64_t position =
        ((brick_.sample * job_.shape.size[0] + slice) * job_.shape.size[1] + first_row) * width +
        column_.x;
    const int count = min(kRows, brick_.end[1] - first_row);
    const float above = job_.axes[0].weight[slice];
    Rows rows;
#pragma unroll
    for (int r = 0; r < kRows; ++r) {
      rows.weight[r] = job_.axes[1].weight[first_row + min(r, count - 1)];
    }
    read_truth(job_, column_, position, count, rows.truth);
    // 2 compute
    find_denominators(rows, above);
#pragma unroll
    for (int r = 0; r < kRows; ++r) weigh_voxel(rows, r, position + r * width);
    const bool smoothed = job_.options.label_smoothing > 0.0;
    if (out_ != nullptr || smoothed) {
      for (int c = 0; c < job_.shape.classes; ++c) spread_class(rows, c, above, smoothed, add);
    }
    // 3 store
    float loss = 0.0f;
#pragma unroll
    for (int r = 0; r < kRows; ++r) {
      if (r < count && column_.inside) store_loss(job_, position + r * width, rows.loss[r]);
      loss += rows.loss[r];
    }
    return loss;
  }

  __device__ void find_denominators(Rows& rows, float above) {
    for (int c = 0; c < job_.shape.classes; ++c) {
      const float lower = corners_.on_row(0, c, brick_.flat, above);
      const float upper = corners_.on_row(1, c, brick_.flat, above);
#pragma unroll
      for (int r = 0; r < kRows; ++r) {
        take_logit(rows, r, interpolate(lower, upper, rows.weight[r]), c);
      }
    }
#pragma unroll
    for (int r = 0; r < kRows; ++r) {
      // all of them -inf, or one of them +inf: NaN, as in torch
      if (!std::isfinite(rows.maximum[r])) rows.sum[r] = rows.maximum[r] - rows.maximum[r];
    }
  }

  // The loss but for its smoothed part, the count, and the factors of the gradient.
  __device__ void weigh_voxel(Rows& rows, int r, int64_t position) {
    rows.loss[r] = 0.0f;
    rows.scale[r] = 0.0f;
    rows.per_exponential[r] = 0.0f;
    const int truth = rows.truth[r];
    if (truth < 0) return;
    const float hit = job_.hit[truth];
    const float total = hit + float(job_.totals->smooth_total);
    rows.loss[r] = total * logf(rows.sum[r]) - hit * (rows.truth_logit[r] - rows.maximum[r]);
    rows.scale[r] = voxel_scale(job_, position);
    rows.per_exponential[r] = rows.scale[r] * total / rows.sum[r];
    if (job_.confusion != nullptr) count_pair(truth, rows.prediction[r]);
  }

  // The gradients of one class onto the partial sums, and its part in the smoothed loss.
  __device__ void spread_class(Rows& rows, int c, float above, bool smoothed, bool add) {
    const float lower = corners_.on_row(0, c, brick_.flat, above);
    const float upper = corners_.on_row(1, c, brick_.flat, above);
    const float smooth = smoothed ? job_.smooth[c] : 0.0f;
    const float hit = job_.hit[c];
    float below_gradient = 0.0f;
    float above_gradient = 0.0f;
#pragma unroll
    for (int r = 0; r < kRows; ++r) {
      if (rows.truth[r] < 0) continue;
      const float weight = rows.weight[r];
      const float shifted = interpolate(lower, upper, weight) - rows.maximum[r];
      if (smoothed) rows.loss[r] -= smooth * shifted;
      const float target = smooth + (rows.truth[r] == c ? hit : 0.0f);
      const float gradient =
          exp_nonpositive(shifted) * rows.per_exponential[r] - rows.scale[r] * target;
      below_gradient = fmaf(1.0f - weight, gradient, below_gradient);
      above_gradient = fmaf(weight, gradient, above_gradient);
    }
    if (out_ == nullptr) return;
    const int lane = int(threadIdx.x) % kLanes;
    stage_[0][lane] = (1.0f - above) * below_gradient;
    stage_[1][lane] = (1.0f - above) * above_gradient;
    stage_[2][lane] = above * below_gradient;
    stage_[3][lane] = above * above_gradient;
    __syncwarp();
    spread_width<1>(job_, brick_, stage_, add, out_ + int64_t(4 * c) * job_.span);
    __syncwarp();
  }

  __device__ void count_pair(int truth, int prediction) {
    const int64_t entry = int64_t(truth) * job_.shape.classes + prediction;
    if (job_.shape.classes <= kSharedClasses) {
      atomicAdd(&matrix_[entry], 1u);
    } else {
      atomicAdd(reinterpret_cast<unsigned long long*>(&job_.confusion[entry]), 1ull);
    }
  }

  const BrickJob& job_;
  const Brick& brick_;
  const Column column_;
  const CornerRows corners_;
  unsigned int* matrix_;
  float (*stage_)[kStageColumns];
  float* out_;
};

__global__ void __launch_bounds__(kBrickThreads)
    run_many_classes(const __grid_constant__ BrickJob job) {
  __shared__ float stage[kBrickWarps][4][kStageColumns];
  __shared__ unsigned int matrix[kSharedClasses * kSharedClasses];
  if (job.divide_by_zero && job.totals->denominator != 0.0) return;
  const int classes = int(job.shape.classes);
  const int entries = classes <= kSharedClasses ? classes * classes : 0;
  for (int entry = threadIdx.x; entry < entries; entry += blockDim.x) matrix[entry] = 0;
  __syncthreads();
  const int warp = int(threadIdx.x) / kLanes;
  const int64_t index = int64_t(blockIdx.x) * kBrickWarps + warp;
  double loss = 0.0;
  if (index < job.bricks) {
    const Brick brick = find_brick(job, (unsigned int)(index));
    float* out = job.gradient_partials;
    if (out != nullptr) out += index * 4 * job.shape.classes * job.span;
    loss = ClassWalk(job, brick, matrix, stage[warp], out).run();
  }
  store_block(job, loss, matrix, entries);
}

}  // namespace

cudaError_t enqueue_bricks_of_many_classes(const BrickJob& job, cudaStream_t stream) {
  return enqueue(run_many_classes, blocks_of(job), kBrickThreads, stream, job);
}

}  // namespace tomolift
