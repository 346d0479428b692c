// A brick on the device: which voxels it holds, and their logits.
#pragma once

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

}  // namespace
}  // namespace tomolift
