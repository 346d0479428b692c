// The up-sampled op without Python: against the dense op on logits up-sampled here in double, and
// its gradient against finite differences.
#include "tomolift/upsampled_cross_entropy.h"

#include <cmath>
#include <cstring>
#include <random>
#include <vector>

#include "check.h"
#include "tomolift/voxel_cross_entropy.h"

namespace {

using tomolift::CrossEntropyOptions;
using tomolift::Sampling;
using tomolift::UpsampledShape;

const CrossEntropyOptions kOptions{tomolift::LogitsType::kFloat64,
                                   tomolift::LabelType::kUInt8,
                                   tomolift::Reduction::kMean,
                                   false,
                                   0,
                                   0.0};

struct Result {
  double loss;
  std::vector<double> gradient;
  std::vector<int64_t> confusion;
};

char* align(std::vector<char>& memory) {
  return memory.data() + (64 - reinterpret_cast<uintptr_t>(memory.data()) % 64) % 64;
}

UpsampledShape make_shape(Sampling sampling) {
  const int64_t d = 3, h = 19, w = 4;  // two bands of rows
  return {2,
          3,
          {d, h, w},
          {7, 45, 11},
          3 * d * h * w,
          d * h * w,
          {h * w, w, 1},
          sampling,
          {2.0, 2.0, 3.0}};
}

Result run(const UpsampledShape& shape, const std::vector<double>& low,
           const std::vector<uint8_t>& labels, int threads,
           const CrossEntropyOptions& options = kOptions) {
  Result r{};
  r.gradient.assign(low.size(), NAN);
  r.confusion.assign(9, -1);
  double denominator = 0.0;
  tomolift::LabelFault fault{};
  std::vector<char> memory(
      tomolift::upsampled_cross_entropy_cpu_workspace(shape, options, true, threads) + 64);
  tomolift::upsampled_cross_entropy_cpu(
      shape, options,
      {low.data(), labels.data(), nullptr, nullptr, false, nullptr, align(memory), &r.loss,
       r.gradient.data(), r.confusion.data(), &denominator, &fault, nullptr},
      threads);
  return r;
}

std::vector<double> upsample(const UpsampledShape& s, const std::vector<double>& low) {
  std::vector<double> high;
  for (int64_t plane = 0; plane < s.batch * s.classes; ++plane) {
    const double* source = low.data() + plane * s.stride_class;
    for (int64_t z = 0; z < s.size[0]; ++z) {
      for (int64_t y = 0; y < s.size[1]; ++y) {
        for (int64_t x = 0; x < s.size[2]; ++x) {
          const int64_t index[3] = {z, y, x};
          tomolift::AxisSample at[3];
          for (int axis = 0; axis < 3; ++axis) {
            at[axis] = tomolift::sample_axis(s.sampling, s.stride[axis], s.low_size[axis],
                                             s.size[axis], index[axis]);
          }
          double value = 0.0;
          for (int corner = 0; corner < 8; ++corner) {
            double share = 1.0;
            int64_t offset = 0;
            for (int axis = 0; axis < 3; ++axis) {
              const bool upper = (corner >> axis) & 1;
              share *= upper ? at[axis].weight_upper : 1.0 - at[axis].weight_upper;
              offset += (upper ? at[axis].upper : at[axis].lower) * s.stride_axis[axis];
            }
            value += share * source[offset];
          }
          high.push_back(value);
        }
      }
    }
  }
  return high;
}

void agrees(Sampling sampling) {
  const UpsampledShape shape = make_shape(sampling);
  const int64_t voxels = shape.size[0] * shape.size[1] * shape.size[2];
  std::mt19937 generator(3);
  std::normal_distribution<double> normal(0.0, 2.0);
  std::vector<double> low(shape.batch * shape.stride_batch);
  for (double& z : low) z = normal(generator);
  std::vector<uint8_t> labels(shape.batch * voxels);
  for (uint8_t& y : labels) y = uint8_t(generator() % 3);
  const Result ours = run(shape, low, labels, 3);

  const std::vector<double> high = upsample(shape, low);
  const tomolift::DenseShape dense{shape.batch, 3, voxels, 3 * voxels, voxels, 1};
  Result theirs{};
  theirs.confusion.assign(9, -1);
  std::vector<char> memory(tomolift::voxel_cross_entropy_cpu_workspace(dense, 1) + 64);
  tomolift::voxel_cross_entropy_cpu(
      dense, kOptions,
      {high.data(), labels.data(), nullptr, nullptr, false, nullptr, align(memory), &theirs.loss,
       nullptr, theirs.confusion.data(), nullptr, nullptr},
      1);
  CHECK(std::abs(ours.loss - theirs.loss) < 1e-12);
  CHECK(ours.confusion == theirs.confusion);

  // central differences: their error is about 1e-6^2 of the third derivative plus 1e-16 / 1e-6
  const double step = 1e-6;
  for (size_t i = 0; i < low.size(); i += 41) {
    std::vector<double> moved = low;
    moved[i] = low[i] + step;
    const double above = run(shape, moved, labels, 1).loss;
    moved[i] = low[i] - step;
    const double below = run(shape, moved, labels, 1).loss;
    CHECK(std::abs((above - below) / (2 * step) - ours.gradient[i]) < 1e-8);
  }

  for (int threads : {1, 2, 7}) {
    const Result other = run(shape, low, labels, threads);
    CHECK(std::memcmp(&other.loss, &ours.loss, sizeof(double)) == 0);
    CHECK(std::memcmp(other.gradient.data(), ours.gradient.data(),
                      ours.gradient.size() * sizeof(double)) == 0);
  }
}

void nothing_valid_gives_a_zero_gradient(Sampling sampling) {
  const UpsampledShape shape = make_shape(sampling);
  const int64_t voxels = shape.size[0] * shape.size[1] * shape.size[2];
  const std::vector<double> low(shape.batch * shape.stride_batch, 0.5);
  const std::vector<uint8_t> labels(shape.batch * voxels, 255);
  CrossEntropyOptions options = kOptions;
  options.has_ignore_index = true;
  options.ignore_index = 255;
  const Result result = run(shape, low, labels, 3, options);
  CHECK(std::isnan(result.loss));
  for (const double g : result.gradient) CHECK(g == 0.0);
}

}  // namespace

int main() {
  agrees(Sampling::kAlignCorners);
  agrees(Sampling::kHalfPixel);
  agrees(Sampling::kStride);
  nothing_valid_gives_a_zero_gradient(Sampling::kStride);
  return 0;
}
