// A brick on the device: which voxels it holds, their logits, labels, and the adjoint along width.
#pragma once

#include <cmath>
#include <type_traits>

#include "block_sum.cuh"
#include "label_vectors.cuh"
#include "tomolift/voxel_functor.h"
#include "upsampled_cross_entropy_job.cuh"

namespace tomolift {
namespace {

struct Brick {
  int64_t sample;
  int cell[2];   // the low-resolution slice and row below the brick
  int begin[2];  // its output slices and rows
  int end[2];
  int first_column;  // of the output
  bool flat;         // there is no slice above
};

__device__ inline int piece_begin(const CudaAxis& axis, int cell, int64_t piece, int64_t pieces) {
  const int first = axis.first[cell];
  const int end = axis.first[cell + 1];
  if (piece == 0) return first;  // no cell is cut, mostly, and a 64-bit division takes long
  if (piece == pieces) return end;
  return first + int(int64_t(end - first) * piece / pieces);
}

__device__ inline Brick find_brick(const BrickJob& job, unsigned int index) {
  Brick brick;
  unsigned int rest = index / (unsigned int)(job.tiles);
  brick.first_column = int(index - rest * (unsigned int)(job.tiles)) * kLanes;
#pragma unroll
  for (int axis = 1; axis >= 0; --axis) {
    const unsigned int pieces = (unsigned int)(job.pieces[axis]);
    const unsigned int cells = (unsigned int)(job.shape.low_size[axis]);
    const unsigned int piece = rest % pieces;
    rest /= pieces;
    brick.cell[axis] = int(rest % cells);
    rest /= cells;
    brick.begin[axis] = piece_begin(job.axes[axis], brick.cell[axis], piece, pieces);
    brick.end[axis] = piece_begin(job.axes[axis], brick.cell[axis], piece + 1, pieces);
  }
  brick.sample = rest;
  brick.flat = brick.cell[0] + 1 >= int(job.shape.low_size[0]);
  return brick;
}

// A lane's output column and its two low-resolution neighbours.
struct Column {
  int x;        // the last one where the lane is not
  bool inside;  // the output
  int lower;
  int upper;
  float weight;
};

__device__ inline Column find_column(const BrickJob& job, const Brick& brick) {
  Column column;
  const int x = brick.first_column + int(threadIdx.x) % kLanes;
  column.inside = x < int(job.shape.size[2]);
  column.x = column.inside ? x : int(job.shape.size[2]) - 1;
  column.lower = job.axes[2].lower[column.x];
  column.upper = min(column.lower + 1, int(job.shape.low_size[2]) - 1);
  column.weight = job.axes[2].weight[column.x];
  return column;
}

// One way of rounding in all kernels, so that they predict alike. Not lower + weight * slope: an
// infinite logit stays infinite between its neighbours, as in F.interpolate.
__device__ inline float interpolate(float lower, float upper, float weight) {
  return fmaf(weight, upper, (1.0f - weight) * lower);
}

// The four rows of low-resolution logits around a brick, interpolated along width. Corners are
// numbered 2 * (slice above) + (row above).
class CornerRows {
 public:
  __device__ CornerRows(const BrickJob& job, const Brick& brick, const Column& column)
      : column_(column) {
    const int64_t* size = job.shape.low_size;
    plane_ = size[0] * size[1] * size[2];
    const float* sample = job.low + brick.sample * job.shape.classes * plane_;
    const int slices[2] = {brick.cell[0], brick.flat ? brick.cell[0] : brick.cell[0] + 1};
    const int rows[2] = {brick.cell[1], min(brick.cell[1] + 1, int(size[1]) - 1)};
#pragma unroll
    for (int corner = 0; corner < 4; ++corner) {
      row_[corner] = sample + (slices[corner / 2] * size[1] + rows[corner % 2]) * size[2];
    }
  }

  __device__ float at(int corner, int64_t c) const {
    const float* row = row_[corner] + c * plane_;
    return interpolate(row[column_.lower], row[column_.upper], column_.weight);
  }

  // Class c on the rows below (0) and above (1) at an output slice whose upper weight this is.
  __device__ float on_row(int row, int64_t c, bool flat, float weight) const {
    const float below = at(row, c);
    return flat ? below : interpolate(below, at(2 + row, c), weight);
  }

 private:
  const float* row_[4];
  int64_t plane_;
  const Column column_;
};

// The classes of `rows` voxels, at `position` and below it in the column; below zero where one
// takes part in nothing, and from `rows` on. A byte a lane is a whole sector a warp: wider loads
// would bring nothing here.
template <int kRows>
__device__ inline void read_truth(const BrickJob& job, const Column& column, int64_t position,
                                  int rows, int (&truth)[kRows]) {
  const int64_t width = job.shape.size[2];
  bool faulty = false;
  with_label_type(job.options.label_type, [&](auto type) {
    using Label = std::remove_const_t<std::remove_pointer_t<decltype(type)>>;
    const Label* labels = static_cast<const Label*>(job.buffers.labels) + position;
    Label label[kRows];
    // the loads first: that many are under way at a time; none needs a branch, as an outer lane
    // reads its neighbour's label, and a row too many the last one's
#pragma unroll
    for (int r = 0; r < kRows; ++r) label[r] = __ldcs(labels + min(r, rows - 1) * width);
#pragma unroll
    for (int r = 0; r < kRows; ++r) {
      truth[r] = truth_of(label[r], job.shape.classes, job.options);
      if (r >= rows || !column.inside) truth[r] = kIgnored;
      faulty = faulty || truth[r] == kOutOfRange;
    }
  });
  if (!faulty || job.buffers.fault == nullptr) return;
#pragma unroll
  for (int r = 0; r < kRows; ++r) {
    if (truth[r] != kOutOfRange) continue;
    atomicAdd(reinterpret_cast<unsigned long long*>(&job.buffers.fault->count), 1ull);
    atomicMin(reinterpret_cast<long long*>(&job.buffers.fault->first_position),
              (long long)(position + r * width));
  }
}

// One column more than lanes, so that lanes that read different rows meet different banks.
constexpr int kStageColumns = kLanes + 1;

// The adjoint along width of a warp's corner gradients: stage[q][lane] onto the low-resolution
// columns of its tile, where q = 4 * class + corner. `out` is [kClasses, 4, span].
template <int kClasses>
__device__ inline void spread_width(const BrickJob& job, const Brick& brick,
                                    const float (*stage)[kStageColumns], bool add, float* out) {
  const CudaAxis& axis = job.axes[2];
  const int base = axis.lower[brick.first_column];
  const int last = min(brick.first_column + kLanes, int(job.shape.size[2]));
  for (int entry = int(threadIdx.x) % kLanes; entry < 4 * job.span; entry += kLanes) {
    const int corner = entry / job.span;
    const int column = base + entry % job.span;
    if (column >= job.shape.low_size[2]) continue;
    // the columns that have this one above them, then those that have it below
    const int begin = max(axis.first[max(column - 1, 0)], brick.first_column);
    const int middle = axis.first[column];
    const int end = min(axis.first[column + 1], last);
    float sum[kClasses] = {};
    for (int x = begin; x < end; ++x) {
      const float weight = x < middle ? axis.weight[x] : 1.0f - axis.weight[x];
#pragma unroll
      for (int c = 0; c < kClasses; ++c) {
        sum[c] = fmaf(weight, stage[4 * c + corner][x - brick.first_column], sum[c]);
      }
    }
#pragma unroll
    for (int c = 0; c < kClasses; ++c) {
      float* slot = out + int64_t(4 * c) * job.span + entry;
      *slot = add ? *slot + sum[c] : sum[c];
    }
  }
}

// What a voxel's gradient is multiplied with before any sum.
__device__ inline float voxel_scale(const BrickJob& job, int64_t position) {
  float scale = job.divide_by_zero ? float(1.0 / job.totals->denominator) : 1.0f;
  if (job.buffers.grad_output_per_voxel) {
    scale *= static_cast<const float*>(job.buffers.grad_output)[position];
  }
  return scale;
}

__device__ inline void store_loss(const BrickJob& job, int64_t position, float loss) {
  if (job.options.reduction != Reduction::kNone || job.buffers.loss == nullptr) return;
  static_cast<float*>(job.buffers.loss)[position] = loss;
}

// The end of every block of the pass: its sum of losses, and the counts of its own matrix.
__device__ inline void store_block(const BrickJob& job, double loss, const unsigned int* matrix,
                                   int entries) {
  const double sum = sum_block<kBrickThreads>(loss);  // waits for the counts, too
  if (threadIdx.x == 0 && job.loss_partials != nullptr) job.loss_partials[blockIdx.x] = sum;
  if (job.confusion == nullptr) return;
  for (int entry = threadIdx.x; entry < entries; entry += kBrickThreads) {
    if (matrix[entry] == 0) continue;
    atomicAdd(reinterpret_cast<unsigned long long*>(&job.confusion[entry]),
              (unsigned long long)(matrix[entry]));
  }
}

}  // namespace
}  // namespace tomolift
