// The up-sampled op without Python: every type, sampling and option, against the functor on logits
// up-sampled in double, and its gradient against the transpose of that up-sampling.
#include "upsampled_problem.h"

namespace {

using tomolift::LogitsType;
using tomolift::Sampling;

// The backward pass alone is told the denominator that the forward pass found.
UpsampledResult run(const UpsampledProblem& p, int threads, Pass pass = Pass::kBoth,
                    const double* denominator = nullptr) {
  const tomolift::CrossEntropyOptions& options = p.dense.options;
  const LogitsType type = options.logits_type;
  const LogitsType real =
      type == LogitsType::kFloat64 ? LogitsType::kFloat64 : LogitsType::kFloat32;
  const int64_t voxels = p.dense.labels.size(), losses = p.dense.grad_output.size();
  const int64_t label_size = size_of(options.label_type);
  Bytes low(p.low.size(), size_of(type), p.dense.place, 0);
  Bytes labels(voxels, label_size, p.dense.place, 0);
  Bytes gradient(p.low.size(), size_of(real), p.dense.place, 0xff);
  Bytes loss(losses, size_of(real), p.dense.place, 0xff);
  Bytes grad_output(losses, size_of(real), p.dense.place, 0);
  for (size_t i = 0; i < p.low.size(); ++i) {
    write_element(type, p.low[i], low.data() + i * size_of(type));
  }
  for (int64_t i = 0; i < voxels; ++i) {
    write_label(options.label_type, p.dense.labels[i], labels.data() + i * label_size);
  }
  for (int64_t i = 0; i < losses; ++i) {
    write_element(real, p.dense.grad_output[i], grad_output.data() + i * size_of(real));
  }
  UpsampledResult r{};
  DenseResult& d = r.dense;
  d.confusion.assign(p.shape.classes * p.shape.classes, -1);
  Workspace workspace(tomolift::upsampled_cross_entropy_cpu_workspace(
      p.shape, options, pass != Pass::kForward, threads));
  tomolift::UpsampledBuffers buffers{
      low.data(),      labels.data(),      p.dense.weight.data(), grad_output.data(),
      losses > 1,      denominator,        workspace.data(),      loss.data(),
      gradient.data(), d.confusion.data(), &d.denominator,        &d.fault,
      nullptr};
  if (pass == Pass::kForward) buffers.gradient = nullptr;
  if (pass == Pass::kBackward) {
    buffers.loss = nullptr;
    buffers.confusion = nullptr;
    buffers.denominator = nullptr;
    buffers.fault = nullptr;
  }
  tomolift::upsampled_cross_entropy_cpu(p.shape, options, buffers, threads);
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

void threads_and_place_do_not_change_a_bit(const UpsampledProblem& p) {
  UpsampledProblem moved = p;
  moved.dense.place = p.dense.place == Place::kFenced ? Place::kShifted : Place::kFenced;
  const UpsampledResult alone = run(p, 1);
  for (const UpsampledResult& other : {run(p, 2), run(p, 3), run(p, 7), run(moved, 2)}) {
    CHECK(other.dense.loss == alone.dense.loss);
    CHECK(other.dense.gradient == alone.dense.gradient);
    CHECK(other.dense.confusion == alone.dense.confusion);
    CHECK(other.predictions == alone.predictions);
  }
}

void each_pass_alone_gives_the_same_bits(const UpsampledProblem& p) {
  const DenseResult both = run(p, 2).dense;
  const DenseResult forward = run(p, 2, Pass::kForward).dense;
  CHECK(forward.loss == both.loss && forward.confusion == both.confusion);
  CHECK(run(p, 2, Pass::kBackward, &both.denominator).dense.gradient == both.gradient);
}

void nothing_valid_gives_a_zero_gradient(UpsampledProblem p) {
  for (int64_t& label : p.dense.labels) label = p.shape.classes;
  const UpsampledResult r = run(p, 3);
  if (p.dense.options.reduction == tomolift::Reduction::kMean) CHECK(std::isnan(r.dense.loss[0]));
  for (const double g : r.dense.gradient) CHECK(g == 0.0);
}

void labels_out_of_range_are_counted_and_named(UpsampledProblem p) {
  p.dense.options.label_type = tomolift::LabelType::kInt64;
  const int64_t last = p.dense.labels.size() - 1;
  p.dense.labels[last] = p.dense.labels[last / 2] = p.shape.classes;
  const UpsampledResult ignored = run(p, 1);
  p.dense.labels[last] = p.dense.labels[last / 2] = int64_t(1) << 32;
  const UpsampledResult r = run(p, 3);
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
          const UpsampledProblem p =
              draw_upsampled(type, classes, size[0], size[1], sampling, ++turn);
          agrees_with_the_functor(p, run(p, 1 + turn % 3));
          each_pass_alone_gives_the_same_bits(p);
        }
      }
      const UpsampledProblem p =
          draw_upsampled(type, 3, sizes[0][0], sizes[0][1], sampling, ++turn);
      threads_and_place_do_not_change_a_bit(p);
      nothing_valid_gives_a_zero_gradient(p);
      labels_out_of_range_are_counted_and_named(p);
    }
  }
  return 0;
}
