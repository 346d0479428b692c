// The pass over the output voxels for any number of classes, one class after the other.
//
// Each slice of a brick is walked twice, to find the softmax's denominators and to write gradients;
// corners are read again each time (from the caches), and a class's gradients go to the partial
// sums slice by slice. Memory does not grow with the number of classes.
#include "approximate.cuh"
#include "upsampled_cross_entropy_brick.cuh"

namespace tomolift {
namespace {

// Output rows whose state lies in registers: the usual eight between two low-resolution rows.
constexpr int kRows = 8;
// A block's own confusion matrix lies in shared memory up to this many classes (4 KiB); beyond,
// counts go to global memory one by one.
constexpr int kSharedClasses = 32;

struct RowState {
  float maximum;
  float sum;          // of exp(logit - maximum)
  float truth_logit;  // read where the voxel is valid
  int prediction;
};

__device__ inline void take_logit(RowState& s, float z, int c, int truth) {
  // equal logits by themselves: the difference of two infinities is NaN
  const float ratio = z == s.maximum ? 1.0f : exp_nonpositive(-fabsf(z - s.maximum));
  const bool wins = beats(z, s.maximum);
  s.sum = z > s.maximum ? fmaf(s.sum, ratio, 1.0f) : s.sum + ratio;
  s.maximum = wins ? z : s.maximum;
  s.prediction = wins ? c : s.prediction;
  s.truth_logit = truth == c ? z : s.truth_logit;
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
    const int rows = min(kRows, brick_.end[1] - first_row);
    const float above = job_.axes[0].weight[slice];
    float weights[kRows];
    int truth[kRows];
    RowState state[kRows];
#pragma unroll
    for (int r = 0; r < kRows; ++r) {
      weights[r] = job_.axes[1].weight[min(first_row + r, brick_.end[1] - 1)];
    }
    read_truth(job_, column_, position, rows, truth);
    // 2 compute
    find_denominators(above, weights, truth, state);
    float loss = 0.0f;
    const bool smoothed = job_.options.label_smoothing > 0.0;
    float losses[kRows];
#pragma unroll
    for (int r = 0; r < kRows; ++r) {
      losses[r] = 0.0f;
      if (truth[r] < 0) continue;
      const float hit = job_.hit[truth[r]];
      const float total = hit + float(job_.totals->smooth_total);
      losses[r] = total * logf(state[r].sum) - hit * (state[r].truth_logit - state[r].maximum);
      if (job_.confusion != nullptr) count_pair(truth[r], state[r].prediction);
      // from here on what a class's exponential is multiplied with
      const float scale = voxel_scale(job_, position + r * width);
      state[r].sum = scale * total / state[r].sum;
      state[r].truth_logit = scale;
    }
    // 3 store
    if (out_ != nullptr || smoothed) {
      for (int c = 0; c < job_.shape.classes; ++c) {
        spread_class(c, above, weights, truth, state, smoothed, losses, add);
      }
    }
#pragma unroll
    for (int r = 0; r < kRows; ++r) {
      if (r < rows && column_.inside) store_loss(job_, position + r * width, losses[r]);
      loss += losses[r];
    }
    return loss;
  }

  __device__ void find_denominators(float above, const float (&weights)[kRows],
                                    const int (&truth)[kRows], RowState (&state)[kRows]) {
    for (int c = 0; c < job_.shape.classes; ++c) {
      const float lower = corners_.on_row(0, c, brick_.flat, above);
      const float upper = corners_.on_row(1, c, brick_.flat, above);
#pragma unroll
      for (int r = 0; r < kRows; ++r) {
        const float z = interpolate(lower, upper, weights[r]);
        if (c == 0) {
          state[r] = {z, 1.0f, z, 0};
        } else {
          take_logit(state[r], z, c, truth[r]);
        }
      }
    }
#pragma unroll
    for (int r = 0; r < kRows; ++r) {
      // all of them -inf, or one of them +inf: NaN, as in torch
      if (!std::isfinite(state[r].maximum)) state[r].sum = state[r].maximum - state[r].maximum;
    }
  }

  // The gradients of one class onto the partial sums, and its part in the smoothed loss.
  __device__ void spread_class(int c, float above, const float (&weights)[kRows],
                               const int (&truth)[kRows], const RowState (&state)[kRows],
                               bool smoothed, float (&losses)[kRows], bool add) {
    const float lower = corners_.on_row(0, c, brick_.flat, above);
    const float upper = corners_.on_row(1, c, brick_.flat, above);
    const float smooth = smoothed ? job_.smooth[c] : 0.0f;
    float below_gradient = 0.0f;
    float above_gradient = 0.0f;
#pragma unroll
    for (int r = 0; r < kRows; ++r) {
      if (truth[r] < 0) continue;
      const float shifted = interpolate(lower, upper, weights[r]) - state[r].maximum;
      if (smoothed) losses[r] -= smooth * shifted;
      const float target = smooth + (truth[r] == c ? job_.hit[c] : 0.0f);
      const float scale = state[r].truth_logit;
      const float gradient = exp_nonpositive(shifted) * state[r].sum - scale * target;
      below_gradient = fmaf(1.0f - weights[r], gradient, below_gradient);
      above_gradient = fmaf(weights[r], gradient, above_gradient);
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
