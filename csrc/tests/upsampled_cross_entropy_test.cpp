// The up-sampled op without Python: every type, sampling and option, against the functor on logits
// up-sampled here in double, and its gradient against the transpose of that up-sampling.
#include "tomolift/upsampled_cross_entropy.h"

#include "dense_problem.h"

namespace {

using tomolift::LogitsType;
using tomolift::Sampling;
using tomolift::UpsampledShape;

struct Problem {
  UpsampledShape shape;
  DenseProblem dense;       // at the labels' size; its logits are the up-sampled ones
  std::vector<double> low;  // [N, C, d, h, w]
};

struct Result {
  DenseResult dense;  // its gradient is that of the low-resolution logits
  std::vector<uint8_t> predictions;
};

int64_t product(const int64_t (&size)[3]) { return size[0] * size[1] * size[2]; }

// Calls visit(low index, output index, share) for every output voxel and corner of its cell.
template <typename Visit>
void for_each_share(const UpsampledShape& s, Visit visit) {
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

Problem draw(LogitsType type, int64_t classes, const int64_t (&low_size)[3],
             const int64_t (&size)[3], Sampling sampling, int turn) {
  Problem p;
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

Result run(const Problem& p, int threads) {
  const tomolift::CrossEntropyOptions& options = p.dense.options;
  const LogitsType type = options.logits_type;
  const LogitsType real =
      type == LogitsType::kFloat64 ? LogitsType::kFloat64 : LogitsType::kFloat32;
  const int64_t voxels = p.dense.labels.size(), losses = p.dense.grad_output.size();
  const int64_t label_size = size_of(options.label_type);
  Bytes low(p.low.size(), size_of(type), p.dense.shift, 0);
  Bytes labels(voxels, label_size, p.dense.shift, 0);
  Bytes gradient(p.low.size(), size_of(real), p.dense.shift, 0xff);
  Bytes loss(losses, size_of(real), 0, 0xff);
  Bytes grad_output(losses, size_of(real), 0, 0);
  for (size_t i = 0; i < p.low.size(); ++i) {
    write_element(type, p.low[i], low.data() + i * size_of(type));
  }
  for (int64_t i = 0; i < voxels; ++i) {
    write_label(options.label_type, p.dense.labels[i], labels.data() + i * label_size);
  }
  for (int64_t i = 0; i < losses; ++i) {
    write_element(real, p.dense.grad_output[i], grad_output.data() + i * size_of(real));
  }
  Result r{};
  DenseResult& d = r.dense;
  d.confusion.assign(p.shape.classes * p.shape.classes, -1);
  Workspace workspace(
      tomolift::upsampled_cross_entropy_cpu_workspace(p.shape, options, true, threads));
  tomolift::upsampled_cross_entropy_cpu(
      p.shape, options,
      {low.data(), labels.data(), p.dense.weight.data(), grad_output.data(), losses > 1, nullptr,
       workspace.data(), loss.data(), gradient.data(), d.confusion.data(), &d.denominator, &d.fault,
       nullptr},
      threads);
  for (int64_t i = 0; i < losses; ++i) {
    d.loss.push_back(read_element(real, loss.data() + i * size_of(real)));
  }
  for (size_t i = 0; i < p.low.size(); ++i) {
    d.gradient.push_back(read_element(real, gradient.data() + i * size_of(real)));
  }
  r.predictions.assign(voxels, 0xff);
  Workspace smaller(
      tomolift::upsampled_cross_entropy_cpu_workspace(p.shape, options, false, threads));
  tomolift::UpsampledBuffers alone{};
  alone.low_logits = low.data();
  alone.workspace = smaller.data();
  alone.predictions = r.predictions.data();
  tomolift::upsampled_cross_entropy_cpu(p.shape, options, alone, threads);
  return r;
}

double largest(const std::vector<double>& values) {
  double result = 0.0;
  for (const double value : values) result = std::max(result, std::abs(value));
  return result;
}

// The loss of a voxel moves by at most twice what its logits are off, its gradient by half of it.
void agrees_with_the_functor(const Problem& p, int threads) {
  const Result ours = run(p, threads);
  const DenseResult theirs = expected_dense(p.dense);
  const bool precise = p.dense.options.logits_type == LogitsType::kFloat64;
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

void threads_and_place_do_not_change_a_bit(const Problem& p) {
  Problem shifted = p;
  shifted.dense.shift = 1 - p.dense.shift;
  const Result alone = run(p, 1);
  for (const Result& other : {run(p, 2), run(p, 3), run(p, 7), run(shifted, 2)}) {
    CHECK(other.dense.loss == alone.dense.loss);
    CHECK(other.dense.gradient == alone.dense.gradient);
    CHECK(other.dense.confusion == alone.dense.confusion);
    CHECK(other.predictions == alone.predictions);
  }
}

void nothing_valid_gives_a_zero_gradient(Problem p) {
  for (int64_t& label : p.dense.labels) label = p.shape.classes;
  const Result r = run(p, 3);
  if (p.dense.options.reduction == tomolift::Reduction::kMean) CHECK(std::isnan(r.dense.loss[0]));
  for (const double g : r.dense.gradient) CHECK(g == 0.0);
}

void labels_out_of_range_are_counted_and_named(Problem p) {
  p.dense.options.label_type = tomolift::LabelType::kInt64;
  const int64_t last = p.dense.labels.size() - 1;
  p.dense.labels[last] = p.dense.labels[last / 2] = p.shape.classes;
  const Result ignored = run(p, 1);
  p.dense.labels[last] = p.dense.labels[last / 2] = int64_t(1) << 32;
  const Result r = run(p, 3);
  CHECK(r.dense.fault.count == 2);
  CHECK(r.dense.fault.first_position == last / 2);
  CHECK(r.dense.fault.first_value == int64_t(1) << 32);
  CHECK(r.dense.gradient == ignored.dense.gradient);
  CHECK(r.dense.confusion == ignored.dense.confusion);
}

}  // namespace

int main() {
  // {low, size}: several bands of rows, tails, single samples, down-sampling, an equal grid
  const int64_t sizes[][2][3] = {
      {{3, 19, 4}, {7, 45, 11}}, {{1, 5, 6}, {1, 33, 67}}, {{2, 1, 1}, {5, 3, 17}},
      {{4, 9, 8}, {3, 4, 5}},    {{2, 4, 5}, {2, 4, 5}},   {{1, 2, 3}, {1, 1, 300}},
  };
  int turn = 0;
  for (const LogitsType type :
       {LogitsType::kFloat32, LogitsType::kBFloat16, LogitsType::kFloat16, LogitsType::kFloat64}) {
    for (const Sampling sampling :
         {Sampling::kAlignCorners, Sampling::kHalfPixel, Sampling::kStride}) {
      for (const auto& size : sizes) {
        for (int64_t classes : {1, 2, 3, 4, 5, 9}) {
          const Problem p = draw(type, classes, size[0], size[1], sampling, ++turn);
          agrees_with_the_functor(p, 1 + turn % 3);
        }
      }
      const Problem p = draw(type, 3, sizes[0][0], sizes[0][1], sampling, ++turn);
      threads_and_place_do_not_change_a_bit(p);
      nothing_valid_gives_a_zero_gradient(p);
      labels_out_of_range_are_counted_and_named(p);
    }
  }
  return 0;
}
