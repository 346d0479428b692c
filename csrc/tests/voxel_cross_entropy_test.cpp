// The dense op without Python: float32 on the vector path against the double functor per voxel.
#include "tomolift/voxel_cross_entropy.h"

#include <cmath>
#include <cstring>
#include <random>
#include <vector>

#include "check.h"
#include "tomolift/voxel_functor.h"

namespace {

using tomolift::CrossEntropyOptions;
using tomolift::DenseBuffers;
using tomolift::DenseShape;

struct Problem {
  DenseShape shape;
  std::vector<float> logits;
  std::vector<uint8_t> labels;
  std::vector<double> weight;
};

struct Result {
  float loss;
  double denominator;
  std::vector<float> gradient;
  std::vector<int64_t> confusion;
  tomolift::LabelFault fault;
};

Problem draw(int64_t batch, int64_t classes, int64_t voxels, bool channels_last) {
  std::mt19937 generator(7);
  std::normal_distribution<float> normal(0.0f, 3.0f);
  Problem p;
  p.shape = {batch,
             classes,
             voxels,
             classes * voxels,
             channels_last ? 1 : voxels,
             channels_last ? classes : 1};
  p.logits.resize(batch * classes * voxels);
  p.labels.resize(batch * voxels);
  for (float& z : p.logits) z = normal(generator);
  for (uint8_t& y : p.labels) y = uint8_t(generator() % (classes + 1));  // `classes` is ignored
  p.labels[0] = 0;  // at least one voxel is valid
  for (int64_t c = 0; c < classes; ++c) p.weight.push_back(0.5 + 0.25 * double(c));
  return p;
}

CrossEntropyOptions options_of(const Problem& p) {
  return {tomolift::LogitsType::kFloat32,
          tomolift::LabelType::kUInt8,
          tomolift::Reduction::kMean,
          true,
          p.shape.classes,
          0.1};
}

Result run(const Problem& p, int threads) {
  Result r{};
  r.gradient.assign(p.logits.size(), NAN);  // an element left unwritten shows
  r.confusion.assign(p.shape.classes * p.shape.classes, -1);
  std::vector<char> memory(tomolift::voxel_cross_entropy_cpu_workspace(p.shape, threads) + 64);
  char* aligned = memory.data() + (64 - reinterpret_cast<uintptr_t>(memory.data()) % 64) % 64;
  const DenseBuffers buffers{
      p.logits.data(), p.labels.data(), p.weight.data(), nullptr,           false,
      nullptr,         aligned,         &r.loss,         r.gradient.data(), r.confusion.data(),
      &r.denominator,  &r.fault};
  tomolift::voxel_cross_entropy_cpu(p.shape, options_of(p), buffers, threads);
  return r;
}

void agrees_with_the_functor(const Problem& p) {
  const Result r = run(p, 3);
  const int64_t classes = p.shape.classes;
  std::vector<double> hit(classes), smooth(classes);
  double smooth_total = 0.0;
  for (int64_t c = 0; c < classes; ++c) {
    hit[c] = 0.9 * p.weight[c];
    smooth[c] = 0.1 / double(classes) * p.weight[c];
    smooth_total += smooth[c];
  }
  const tomolift::TargetTerms<double> terms{hit.data(), smooth.data(), smooth_total, true};
  double loss = 0.0, denominator = 0.0;
  std::vector<int64_t> confusion(classes * classes, 0);
  std::vector<double> gradient(p.logits.size());
  for (int64_t i = 0; i < p.shape.batch * p.shape.voxels; ++i) {
    const int64_t offset =
        i / p.shape.voxels * p.shape.stride_batch + i % p.shape.voxels * p.shape.stride_voxel;
    const int64_t truth = p.labels[i] < classes ? p.labels[i] : -1;
    const auto load = [&](int64_t c) {
      return double(p.logits[offset + c * p.shape.stride_class]);
    };
    const auto store = [&](int64_t c, double g) {
      gradient[offset + c * p.shape.stride_class] = g;
    };
    const auto result =
        tomolift::voxel_cross_entropy_at(classes, truth, terms, 1.0, true, load, store);
    loss += result.loss;
    if (truth < 0) continue;
    denominator += p.weight[truth];
    ++confusion[truth * classes + result.prediction];
  }
  CHECK(r.confusion == confusion);
  CHECK(std::abs(r.denominator - denominator) < 1e-9 * denominator);
  CHECK(std::abs(r.loss - loss / denominator) < 1e-6 * (1.0 + loss / denominator));
  for (size_t i = 0; i < gradient.size(); ++i) {
    CHECK(std::abs(r.gradient[i] - gradient[i] / denominator) < 2e-6 / denominator);
  }
}

void threads_do_not_change_a_bit(const Problem& p) {
  const Result alone = run(p, 1);
  for (int threads : {2, 3, 7}) {
    const Result many = run(p, threads);
    CHECK(std::memcmp(&many.loss, &alone.loss, sizeof(float)) == 0);
    CHECK(std::memcmp(many.gradient.data(), alone.gradient.data(),
                      alone.gradient.size() * sizeof(float)) == 0);
    CHECK(many.confusion == alone.confusion);
  }
}

void labels_out_of_range_are_counted_and_named(Problem p) {
  p.labels[5] = 200;
  p.labels[p.labels.size() - 1] = 201;
  const Result r = run(p, 2);
  CHECK(r.fault.count == 2);
  CHECK(r.fault.first_position == 5);
  CHECK(r.fault.first_value == 200);
}

}  // namespace

int main() {
  for (int64_t classes : {1, 2, 3, 4, 5, 9}) {
    for (bool channels_last : {false, true}) {
      for (int64_t voxels : {1, 17, 256, 20000}) {
        agrees_with_the_functor(draw(2, classes, voxels, channels_last));
      }
    }
  }
  threads_do_not_change_a_bit(draw(3, 3, 30000, false));
  labels_out_of_range_are_counted_and_named(draw(2, 3, 9000, false));
  return 0;
}
