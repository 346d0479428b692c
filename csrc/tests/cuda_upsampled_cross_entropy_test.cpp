// The CUDA up-sampled op on the CPU: every type, sampling, size and option, against the functor on
// logits up-sampled in double, and its gradient against the transpose of that up-sampling.
#include "cuda_upsampled_call.h"
#include "emulated_cuda/schedule.h"

namespace {

using emulated_cuda::Order;
using tomolift::LogitsType;
using tomolift::Reduction;
using tomolift::Sampling;

bool same_bits(const std::vector<double>& a, const std::vector<double>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(double)) == 0;
}

UpsampledProblem last_dimension_classes(UpsampledProblem p) {
  const int64_t* size = p.shape.low_size;
  const int64_t c = p.shape.classes;
  p.shape.stride_class = 1;
  p.shape.stride_axis[0] = size[1] * size[2] * c;
  p.shape.stride_axis[1] = size[2] * c;
  p.shape.stride_axis[2] = c;
  return p;
}

// Without weights and smoothing, reduced: the kernels' shorter way.
UpsampledProblem plainly(UpsampledProblem p, Reduction reduction) {
  p.dense.options.reduction = reduction;
  p.dense.options.label_smoothing = 0.0;
  p.dense.weight.assign(p.shape.classes, 1.0);
  p.dense.grad_output = {-1.25};
  return p;
}

void order_and_layout_do_not_change_a_bit(const UpsampledProblem& p) {
  const UpsampledResult first = run_on_cuda(p);
  for (const Order order : {Order::kDescending, Order::kShuffled, Order::kAscending}) {
    emulated_cuda::set_schedule(order, 7);
    for (const UpsampledProblem& other : {p, last_dimension_classes(p)}) {
      const UpsampledResult again = run_on_cuda(other);
      CHECK(same_bits(again.dense.loss, first.dense.loss));
      CHECK(same_bits(again.dense.gradient, first.dense.gradient));
      CHECK(again.dense.confusion == first.dense.confusion);
      CHECK(again.predictions == first.predictions);
    }
  }
}

void nothing_valid_gives_a_zero_gradient(UpsampledProblem p) {
  for (int64_t& label : p.dense.labels) label = p.shape.classes;
  for (double& seed : p.dense.grad_output) seed = INFINITY;
  const UpsampledResult r = run_on_cuda(p);
  const bool mean = p.dense.options.reduction == Reduction::kMean;
  for (const double loss : r.dense.loss) CHECK(mean ? std::isnan(loss) : loss == 0.0);
  for (const double g : r.dense.gradient) CHECK(g == 0.0);
  CHECK(r.dense.denominator == 0.0);
}

void labels_out_of_range_are_counted_and_named(UpsampledProblem p) {
  p.dense.options.label_type = tomolift::LabelType::kInt64;
  const int64_t last = p.dense.labels.size() - 1;
  p.dense.labels[last] = p.dense.labels[last / 2] = p.shape.classes;
  const UpsampledResult ignored = run_on_cuda(p);
  CHECK(ignored.dense.fault.count == 0);
  for (const int64_t value : {int64_t(1) << 32, int64_t(-1), int64_t(-100)}) {
    p.dense.labels[last] = p.dense.labels[last / 2] = value;
    const UpsampledResult r = run_on_cuda(p);
    CHECK(r.dense.fault.count == 2);
    CHECK(r.dense.fault.first_position == last / 2);
    CHECK(r.dense.fault.first_value == value);
    CHECK(same_bits(r.dense.gradient, ignored.dense.gradient));
    CHECK(r.dense.confusion == ignored.dense.confusion);
  }
}

void an_ignored_label_is_never_taken_for_another_of_equal_low_bits(UpsampledProblem p) {
  p.dense.options.label_type = tomolift::LabelType::kUInt8;
  p.dense.options.ignore_index = -100;
  for (int64_t& label : p.dense.labels) label = 156;
  CHECK(run_on_cuda(p).dense.fault.count == int64_t(p.dense.labels.size()));
}

void a_backward_pass_with_a_known_denominator_gives_the_same(const UpsampledProblem& p) {
  const UpsampledResult forward = run_on_cuda(p);
  UpsampledCall call(p);
  tomolift::UpsampledBuffers buffers = call.buffers();
  const double denominator = forward.dense.denominator;
  buffers.known_denominator = &denominator;
  buffers.loss = nullptr;
  buffers.confusion = nullptr;
  buffers.denominator = nullptr;
  buffers.fault = nullptr;
  call.enqueue(buffers);
  CHECK(same_bits(call.result().dense.gradient, forward.dense.gradient));
}

void the_mean_needs_no_confusion_matrix(const UpsampledProblem& p) {
  UpsampledCall call(p);
  tomolift::UpsampledBuffers buffers = call.buffers();
  buffers.confusion = nullptr;
  call.enqueue(buffers);
  const UpsampledResult whole = run_on_cuda(p);
  CHECK(same_bits(call.result().dense.loss, whole.dense.loss));
  CHECK(same_bits(call.result().dense.gradient, whole.dense.gradient));
}

void a_loss_alone_leaves_the_gradient_untouched(const UpsampledProblem& p) {
  UpsampledCall call(p);
  tomolift::UpsampledBuffers buffers = call.buffers();
  buffers.gradient = nullptr;
  call.enqueue(buffers);
  CHECK(same_bits(call.result().dense.loss, run_on_cuda(p).dense.loss));
  for (const double g : call.result().dense.gradient) CHECK(std::isnan(g));
}

// Weights of zero make the mean 0 / 0: NaN around the valid voxels, zero elsewhere.
void division_by_zero_is_for_the_neighbours_of_valid_voxels(UpsampledProblem p) {
  p.dense.options.reduction = Reduction::kMean;
  p.dense.weight.assign(p.shape.classes, 0.0);
  p.dense.grad_output = {1.0};
  const int64_t voxels = product(p.shape.size);
  for (size_t i = 0; i < p.dense.labels.size(); ++i) {
    p.dense.labels[i] = int64_t(i) % voxels < p.shape.size[2] ? 0 : p.shape.classes;
  }
  const UpsampledResult r = run_on_cuda(p);
  CHECK(std::isnan(r.dense.loss[0]));
  std::vector<bool> touched(p.low.size(), false);
  for_each_share(p.shape, [&](int64_t low, int64_t high, double) {
    const int64_t voxel = high / voxels / p.shape.classes * voxels + high % voxels;
    if (p.dense.labels[voxel] == 0) touched[low] = true;
  });
  int64_t zeros = 0;
  for (size_t i = 0; i < p.low.size(); ++i) {
    if (touched[i]) CHECK(std::isnan(r.dense.gradient[i]));
    CHECK(std::isnan(r.dense.gradient[i]) || r.dense.gradient[i] == 0.0);
    zeros += r.dense.gradient[i] == 0.0;
  }
  CHECK(zeros > 0);
}

// As F.interpolate: a weight of zero times infinity is NaN, but no second slice has no weight.
double interpolated(const UpsampledProblem& p, int64_t plane, int64_t voxel) {
  const tomolift::UpsampledShape& s = p.shape;
  const int64_t index[3] = {voxel / s.size[2] / s.size[1], voxel / s.size[2] % s.size[1],
                            voxel % s.size[2]};
  double value = 0.0;
  for (int corner = 0; corner < 8; ++corner) {
    double share = 1.0;
    int64_t low = plane;
    for (int axis = 0; axis < 3; ++axis) {
      const tomolift::AxisSample at = tomolift::sample_axis(
          s.sampling, s.stride[axis], s.low_size[axis], s.size[axis], index[axis]);
      const bool upper = corner >> axis & 1;
      if (axis == 0 && upper && at.upper == at.lower) share = kNaN;
      share *= upper ? at.weight_upper : 1.0 - at.weight_upper;
      low = low * s.low_size[axis] + (upper ? at.upper : at.lower);
    }
    if (!std::isnan(share)) value += share * p.low[low];
  }
  return value;
}

std::vector<int64_t> counted(const UpsampledProblem& p, const std::vector<uint8_t>& predictions) {
  const int64_t classes = p.shape.classes;
  std::vector<int64_t> counts(classes * classes, 0);
  for (size_t i = 0; i < predictions.size(); ++i) {
    const int64_t truth = p.dense.labels[i];
    if (truth < classes) ++counts[truth * classes + predictions[i]];
  }
  return counts;
}

void what_is_not_finite_spreads_to_its_stencil_alone(UpsampledProblem p, double value) {
  p.dense.options.reduction = Reduction::kNone;
  p.dense.grad_output.assign(p.dense.labels.size(), 1.0);
  p.low[p.low.size() / 2] = value;               // of class 0 of the second
  p.low[product(p.shape.low_size) + 1] = value;  // of class 1 of the first sample
  const UpsampledResult r = run_on_cuda(p);
  const int64_t voxels = product(p.shape.size), classes = p.shape.classes;
  int64_t hit = 0;
  for (size_t i = 0; i < p.dense.labels.size(); ++i) {
    std::vector<double> z(classes);
    bool finite = true;
    for (int64_t c = 0; c < classes; ++c) {
      z[c] = interpolated(p, int64_t(i) / voxels * classes + c, int64_t(i) % voxels);
      finite = finite && std::isfinite(z[c]);
    }
    const double one = 1.0, nothing = 0.0;
    const std::vector<double> hits(classes, one), smooths(classes, nothing);
    const int64_t truth = p.dense.labels[i] < classes ? p.dense.labels[i] : -1;
    const auto expected = tomolift::voxel_cross_entropy_at<double>(
        classes, truth, {hits.data(), smooths.data(), 0.0, false}, 1.0, false,
        [&](int64_t c) { return z[c]; }, [](int64_t, double) {});
    hit += !finite;
    if (truth >= 0) CHECK(std::isnan(r.dense.loss[i]) == std::isnan(expected.loss));
    if (truth >= 0) CHECK(std::isinf(r.dense.loss[i]) == std::isinf(expected.loss));
    const auto predicted = tomolift::voxel_cross_entropy_at<double>(
        classes, 0, {hits.data(), smooths.data(), 0.0, false}, 1.0, false,
        [&](int64_t c) { return z[c]; }, [](int64_t, double) {});
    if (!finite) CHECK(r.predictions[i] == predicted.prediction);
  }
  CHECK(hit > 0 && hit < int64_t(p.dense.labels.size()));
  CHECK(r.dense.confusion == counted(p, r.predictions));
  CHECK(run_on_cuda(plainly(p, Reduction::kSum)).dense.confusion == r.dense.confusion);
}

// Beyond the last sample of a strided grid one cell holds many rows: their softmax denominators
// would multiply to infinity, and their count would not fit into six bits.
void a_long_tail_of_equal_logits_is_counted_and_costs_its_logarithm(int64_t classes) {
  UpsampledProblem p =
      draw_upsampled(LogitsType::kFloat32, classes, {1, 8, 2}, {1, 128, 3}, Sampling::kStride, 0);
  for (double& stride : p.shape.stride) stride = 1.0;
  p.low.assign(p.low.size(), 0.0);
  p.dense.labels.assign(p.dense.labels.size(), 0);
  const DenseResult r = run_on_cuda(plainly(p, Reduction::kMean)).dense;
  CHECK(std::abs(r.loss[0] - std::log(double(classes))) < 1e-6);
  CHECK(r.confusion[0] == int64_t(p.dense.labels.size()));
}

void an_empty_batch_has_no_loss(UpsampledProblem p) {
  p.shape.batch = 0;
  p.dense.labels.clear();
  p.low.clear();
  p = plainly(p, Reduction::kMean);
  const UpsampledResult r = run_on_cuda(p);
  CHECK(std::isnan(r.dense.loss[0]));
  for (const int64_t count : r.dense.confusion) CHECK(count == 0);
}

}  // namespace

int main() {
  // {low, size}: several tiles, tails, single samples, down-sampling, an equal grid, cells so long
  // that they are cut into pieces
  const int64_t sizes[][2][3] = {
      {{3, 3, 4}, {7, 10, 70}}, {{1, 4, 6}, {1, 13, 37}}, {{2, 1, 1}, {5, 3, 17}},
      {{4, 9, 8}, {3, 4, 5}},   {{2, 4, 5}, {2, 4, 5}},   {{1, 2, 90}, {1, 1, 40}},
      {{1, 1, 2}, {18, 19, 3}},
  };
  const LogitsType types[] = {LogitsType::kFloat32, LogitsType::kBFloat16, LogitsType::kFloat16};
  const Sampling samplings[] = {Sampling::kAlignCorners, Sampling::kHalfPixel, Sampling::kStride};
  int turn = 0;
  for (const auto& size : sizes) {
    for (const int64_t classes : {1, 2, 3, 4, 5, 6, 7, 8, 9, 40}) {
      if (++turn > 10 && classes % 2 == 0) continue;  // the first size has them all
      const UpsampledProblem p =
          draw_upsampled(types[turn / 3 % 3], classes, size[0], size[1], samplings[turn % 3], turn);
      agrees_with_the_functor(p, run_on_cuda(turn / 2 % 2 == 0 ? p : last_dimension_classes(p)));
      const UpsampledProblem plain =
          plainly(p, turn / 2 % 2 == 0 ? Reduction::kSum : Reduction::kMean);
      agrees_with_the_functor(plain, run_on_cuda(plain));
    }
  }
  for (const int64_t classes : {3, 5, 11}) {
    ++turn;
    const UpsampledProblem p =
        draw_upsampled(types[turn % 3], classes, {2, 3, 3}, {5, 10, 35}, samplings[turn % 3], turn);
    const UpsampledProblem plain = plainly(p, Reduction::kMean);
    for (const UpsampledProblem& each : {p, plain}) {
      order_and_layout_do_not_change_a_bit(each);
      nothing_valid_gives_a_zero_gradient(each);
      labels_out_of_range_are_counted_and_named(each);
      an_ignored_label_is_never_taken_for_another_of_equal_low_bits(each);
      a_backward_pass_with_a_known_denominator_gives_the_same(each);
      the_mean_needs_no_confusion_matrix(each);
      a_loss_alone_leaves_the_gradient_untouched(each);
    }
    division_by_zero_is_for_the_neighbours_of_valid_voxels(p);
    for (const double value : {kNaN, double(INFINITY), double(-INFINITY)}) {
      what_is_not_finite_spreads_to_its_stencil_alone(plain, value);
    }
    an_empty_batch_has_no_loss(p);
  }
  a_long_tail_of_equal_logits_is_counted_and_costs_its_logarithm(3);
  a_long_tail_of_equal_logits_is_counted_and_costs_its_logarithm(8);
  return 0;
}
