// Up-sampled problems of every type, sampling and option, the op's outputs, and whether they are
// what they should be: the functor on logits up-sampled here in double, and its gradient under the
// transpose of that up-sampling.
#pragma once

#include "dense_problem.h"
#include "tomolift/upsampled_cross_entropy.h"

struct UpsampledProblem {
  tomolift::UpsampledShape shape;
  DenseProblem dense;       // at the labels' size; its logits are the up-sampled ones
  std::vector<double> low;  // [N, C, d, h, w]
};

struct UpsampledResult {
  DenseResult dense;  // its gradient is that of the low-resolution logits
  std::vector<uint8_t> predictions;
};

inline int64_t product(const int64_t (&size)[3]) { return size[0] * size[1] * size[2]; }

// Calls visit(low index, output index, share) for every output voxel and corner of its cell.
template <typename Visit>
void for_each_share(const tomolift::UpsampledShape& s, Visit visit) {
  const int64_t low_voxels = product(s.low_size), voxels = product(s.size);
  for (int64_t plane = 0; plane < s.batch * s.classes; ++plane) {
    for (int64_t v = 0; v < voxels; ++v) {
      const int64_t index[3] = {v / s.size[2] / s.size[1], v / s.size[2] % s.size[1],
                                v % s.size[2]};
      tomolift::AxisSample at[3];
      for (int axis = 0; axis < 3; ++axis) {
        at[axis] = tomolift::sample_axis(s.sampling, s.stride[axis], s.low_size[axis], s.size[axis],
                                         index[axis]);
      }
      for (int corner = 0; corner < 8; ++corner) {
        double share = 1.0;
        int64_t low = 0;
        for (int axis = 0; axis < 3; ++axis) {
          const bool upper = (corner >> axis) & 1;
          share *= upper ? at[axis].weight_upper : 1.0 - at[axis].weight_upper;
          low = low * s.low_size[axis] + (upper ? at[axis].upper : at[axis].lower);
        }
        if (share != 0.0) visit(plane * low_voxels + low, plane * voxels + v, share);
      }
    }
  }
}

inline UpsampledProblem draw_upsampled(tomolift::LogitsType type, int64_t classes,
                                       const int64_t (&low_size)[3], const int64_t (&size)[3],
                                       tomolift::Sampling sampling, int turn) {
  UpsampledProblem p;
  p.dense = draw_dense(type, 2, classes, product(size), false, turn);
  const int64_t low_voxels = product(low_size);
  p.shape = {2,
             classes,
             {low_size[0], low_size[1], low_size[2]},
             {size[0], size[1], size[2]},
             classes * low_voxels,
             low_voxels,
             {low_size[1] * low_size[2], low_size[2], 1},
             sampling,
             {2.0, 2.0, 3.0}};
  std::mt19937 generator(turn);
  for (int64_t i = 0; i < 2 * classes * low_voxels; ++i) {
    p.low.push_back((double(generator() % 255) - 127.0) / 16.0);
  }
  p.dense.logits.assign(2 * classes * product(size), 0.0);
  for_each_share(p.shape, [&](int64_t low, int64_t high, double share) {
    p.dense.logits[high] += share * p.low[low];
  });
  return p;
}

inline double largest(const std::vector<double>& values) {
  double result = 0.0;
  for (const double value : values) result = std::max(result, std::abs(value));
  return result;
}

// The loss of a voxel moves by at most twice what its logits are off, its gradient by half of it.
inline void agrees_with_the_functor(const UpsampledProblem& p, const UpsampledResult& ours) {
  const DenseResult theirs = expected_dense(p.dense);
  const bool precise = p.dense.options.logits_type == tomolift::LogitsType::kFloat64;
  const double noise = precise ? 1e-12 : 8 * 0x1p-24 * 8.0;  // logits up to 8, eight roundings
  const double heaviest = largest(p.dense.weight);
  CHECK(ours.dense.fault.count == 0);
  CHECK(std::abs(ours.dense.denominator - theirs.denominator) <= 1e-12 * theirs.denominator);
  CHECK(ours.dense.loss.size() == theirs.loss.size());
  for (size_t i = 0; i < theirs.loss.size(); ++i) {
    const double count =
        p.dense.options.reduction == tomolift::Reduction::kSum ? double(p.dense.labels.size()) : 1;
    CHECK(std::abs(ours.dense.loss[i] - theirs.loss[i]) <= 4 * noise * heaviest * count);
  }
  std::vector<double> gradient(p.low.size(), 0.0), shares(p.low.size(), 0.0);
  for_each_share(p.shape, [&](int64_t low, int64_t high, double share) {
    gradient[low] += share * theirs.gradient[high];
    shares[low] += share;
  });
  const double voxel = 4.0 * heaviest;  // |grad_output| < 4
  const bool mean = p.dense.options.reduction == tomolift::Reduction::kMean;
  for (size_t i = 0; i < gradient.size(); ++i) {
    const double scale = voxel * shares[i] / (mean ? theirs.denominator : 1.0);
    CHECK(std::abs(ours.dense.gradient[i] - gradient[i]) <= noise * scale);
  }
  // what is predicted is a maximum, and the matrix counts what is predicted
  const int64_t classes = p.shape.classes, size = p.dense.shape.voxels;
  std::vector<int64_t> confusion(classes * classes, 0);
  for (size_t i = 0; i < p.dense.labels.size(); ++i) {
    const int64_t base = offset_of(p.dense, i, 0);
    const double chosen = p.dense.logits[base + ours.predictions[i] * size];
    for (int64_t c = 0; c < classes; ++c) {
      CHECK(p.dense.logits[base + c * size] <= chosen + 2 * noise);
    }
    if (p.dense.labels[i] < classes) ++confusion[p.dense.labels[i] * classes + ours.predictions[i]];
  }
  CHECK(ours.dense.confusion == confusion);
}
