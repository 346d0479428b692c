// A lane's walk down its column for few classes: everything of the cell lies in registers.
#pragma once

#include <cmath>

#include "approximate.cuh"
#include "confusion_counts.cuh"
#include "tomolift/voxel_functor.h"
#include "upsampled_cross_entropy_store.cuh"
#include "upsampled_cross_entropy_truth.cuh"

namespace tomolift {
namespace {

// Rows whose labels are loaded together.
constexpr int kGroup = 4;
// A group's softmax denominators multiply to 8^4 at most: from here one more would still fit.
constexpr float kLargeProduct = 1e30f;

// The first maximum; where some logit may be NaN the first NaN, as torch has it.
template <int kClasses, bool kFinite>
__device__ inline int predict(const float (&z)[kClasses], float& maximum) {
  maximum = z[0];
  int prediction = 0;
#pragma unroll
  for (int c = 1; c < kClasses; ++c) {
    const bool wins = kFinite ? z[c] > maximum : beats(z[c], maximum);
    maximum = wins ? z[c] : maximum;
    prediction = wins ? c : prediction;
  }
  return prediction;
}

// One lane's walk down its column: kPlain leaves out weights, smoothing, and whatever is asked
// voxel by voxel.
template <int kClasses, bool kPlain>
class ColumnWalk {
 public:
  __device__ ColumnWalk(const BrickJob& job, const Brick& brick, unsigned int* matrix)
      : job_(job), brick_(brick), column_(find_column(job, brick)), matrix_(matrix) {
    // 1 load the cell's corners
    const CornerRows rows(job, brick, column_);
#pragma unroll
    for (int corner = 0; corner < 4; ++corner) {
#pragma unroll
      for (int c = 0; c < kClasses; ++c) {
        corner_[corner][c] = rows.at(corner, c);
        gradient_[corner][c] = 0.0f;
      }
    }
  }

  // Whether no lane of the warp has a corner that is infinite or NaN.
  __device__ bool finite() const {
    bool finite = true;
#pragma unroll
    for (int corner = 0; corner < 4; ++corner) {
#pragma unroll
      for (int c = 0; c < kClasses; ++c) finite = finite && std::isfinite(corner_[corner][c]);
    }
    return __all_sync(kFullWarp, finite);
  }

  // 2 compute: the loss of the column's voxels
  template <bool kFinite>
  __device__ double run() {
    double loss = 0.0;
    for (int slice = brick_.begin[0]; slice < brick_.end[0]; ++slice) {
      loss += double(run_slice<kFinite>(slice));
    }
    flush_counts();
    return loss;
  }

  // 3 store the gradients of the low-resolution columns
  __device__ void store(float (*stage)[kStageColumns], float* out) {
#pragma unroll
    for (int corner = 0; corner < 4; ++corner) {
#pragma unroll
      for (int c = 0; c < kClasses; ++c) {
        stage[4 * c + corner][threadIdx.x % kLanes] = gradient_[corner][c];
      }
    }
    __syncwarp();
    spread_width<kClasses>(job_, brick_, stage, false, out);
  }

 private:
  template <bool kFinite>
  __device__ float run_slice(int slice) {
    const float above = job_.axes[0].weight[slice];
#pragma unroll
    for (int row = 0; row < 2; ++row) {
#pragma unroll
      for (int c = 0; c < kClasses; ++c) {
        const float below = corner_[row][c];
        row_[row][c] = brick_.flat ? below : interpolate(below, corner_[2 + row][c], above);
        row_gradient_[row][c] = 0.0f;
      }
    }
    const int64_t width = job_.shape.size[2];
    int row = brick_.begin[1];
    int64_t position =
        ((brick_.sample * job_.shape.size[0] + slice) * job_.shape.size[1] + row) * width +
        column_.x;
    loss_ = 0.0f;
    product_ = 1.0f;
    for (; row + kGroup <= brick_.end[1]; row += kGroup) {
      run_group<kFinite, kGroup>(row, position);
      position += kGroup * width;
    }
    for (; row < brick_.end[1]; ++row) {
      run_group<kFinite, 1>(row, position);
      position += width;
    }
#pragma unroll
    for (int row = 0; row < 2; ++row) {
#pragma unroll
      for (int c = 0; c < kClasses; ++c) {
        const float gradient = row_gradient_[row][c];
        gradient_[row][c] = fmaf(1.0f - above, gradient, gradient_[row][c]);
        gradient_[2 + row][c] = fmaf(above, gradient, gradient_[2 + row][c]);
      }
    }
    return kPlain ? loss_ + logf(product_) : loss_;
  }

  template <bool kFinite, int kRows>
  __device__ void run_group(int row, int64_t position) {
    const float* weights = job_.axes[1].weight + row;
    int truth[kRows];
    read_truth(job_, column_, position, kRows, truth);
#pragma unroll
    for (int r = 0; r < kRows; ++r) {
      const float weight = weights[r];
      float z[kClasses];
#pragma unroll
      for (int c = 0; c < kClasses; ++c) z[c] = interpolate(row_[0][c], row_[1][c], weight);
      if constexpr (kPlain) {
        run_plain<kFinite>(truth[r], weight, z);
      } else {
        run_voxel(truth[r], weight, z, position + r * job_.shape.size[2]);
      }
    }
    if (kPlain && product_ > kLargeProduct) {
      loss_ += logf(product_);
      product_ = 1.0f;
    }
    uncounted_ += kRows;
    if (uncounted_ > ConfusionCounts<kClasses>::kMost - kGroup) flush_counts();
  }

  __device__ void flush_counts() {
    counts_.flush(matrix_);
    uncounted_ = 0;
  }

  __device__ void add_gradient(int c, float gradient, float weight) {
    row_gradient_[0][c] = fmaf(1.0f - weight, gradient, row_gradient_[0][c]);
    row_gradient_[1][c] = fmaf(weight, gradient, row_gradient_[1][c]);
  }

  // Without weights and smoothing the loss is log(sum) less the truth's logit, both of the logits
  // less their maximum; that difference is exact for logits of like size.
  template <bool kFinite>
  __device__ void run_plain(int truth, float weight, float (&z)[kClasses]) {
    if (truth < 0) return;
    float maximum;
    const int prediction = predict<kClasses, kFinite>(z, maximum);
    float sum = 0.0f;
#pragma unroll
    for (int c = 0; c < kClasses; ++c) {
      z[c] -= maximum;
      if (truth == c) loss_ -= z[c];
      z[c] = exp_nonpositive(z[c]);
      sum = c == 0 ? z[0] : sum + z[c];
    }
    product_ *= sum;
    const float per_exponential = reciprocal(sum);
#pragma unroll
    for (int c = 0; c < kClasses; ++c) {
      add_gradient(c, fmaf(z[c], per_exponential, truth == c ? -1.0f : 0.0f), weight);
    }
    counts_.add(matrix_, truth, prediction);
  }

  __device__ void run_voxel(int truth, float weight, float (&z)[kClasses], int64_t position) {
    float loss = 0.0f;
    if (truth >= 0) {
      float maximum;
      const int prediction = predict<kClasses, false>(z, maximum);
      const bool smoothed = job_.options.label_smoothing > 0.0;
      const float hit = job_.hit[truth];
      const float total = hit + float(job_.totals->smooth_total);
      float sum = 0.0f;
#pragma unroll
      for (int c = 0; c < kClasses; ++c) {
        z[c] -= maximum;
        if (smoothed) loss -= job_.smooth[c] * z[c];
        if (truth == c) loss -= hit * z[c];
        z[c] = exp_nonpositive(z[c]);
        sum += z[c];
      }
      loss += total * logf(sum);
      const float per_exponential = total * reciprocal(sum);
      const float scale = voxel_scale(job_, position);
#pragma unroll
      for (int c = 0; c < kClasses; ++c) {
        const float target = (smoothed ? job_.smooth[c] : 0.0f) + (truth == c ? hit : 0.0f);
        add_gradient(c, scale * (z[c] * per_exponential - target), weight);
      }
      counts_.add(matrix_, truth, prediction);
    }
    loss_ += loss;
    if (column_.inside) store_loss(job_, position, loss);
  }

  const BrickJob& job_;
  const Brick& brick_;
  const Column column_;
  unsigned int* matrix_;  // of the block
  ConfusionCounts<kClasses> counts_;
  int uncounted_ = 0;  // voxels since the counts went to the matrix
  float corner_[4][kClasses];
  float gradient_[4][kClasses];
  // of the slice
  float row_[2][kClasses];
  float row_gradient_[2][kClasses];
  float loss_;
  float product_;  // of the sums of exponentials, whose logarithms are still missing in the loss
};

}  // namespace
}  // namespace tomolift
