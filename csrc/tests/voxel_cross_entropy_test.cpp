// The dense op without Python: every type, layout and option, with tails of every length, against
// the functor in double.
#include "tomolift/voxel_cross_entropy.h"

#include <algorithm>

#include "dense_problem.h"

namespace {

using tomolift::LogitsType;

constexpr LogitsType kTypes[] = {LogitsType::kFloat32, LogitsType::kBFloat16, LogitsType::kFloat16,
                                 LogitsType::kFloat64};

// Half a unit in the last place of the type that a gradient is rounded to, on top of float32's own.
double rounding(LogitsType type) {
  switch (type) {
    case LogitsType::kFloat32:
      return 0.0;
    case LogitsType::kBFloat16:
      return 1.0 / 256;
    case LogitsType::kFloat16:
      return 1.0 / 2048;
    case LogitsType::kFloat64:
      break;
  }
  return 0.0;
}

void agrees_with_the_functor(const DenseProblem& p, int threads) {
  const DenseResult ours = run_dense(p, threads);
  const DenseResult theirs = expected_dense(p);
  const LogitsType type = p.options.logits_type;
  const double noise = type == LogitsType::kFloat64 ? 1e-13 : 2e-6;
  CHECK(ours.confusion == theirs.confusion);
  CHECK(ours.fault.count == 0);
  CHECK(std::abs(ours.denominator - theirs.denominator) <= 1e-12 * theirs.denominator);
  CHECK(ours.loss.size() == theirs.loss.size());
  for (size_t i = 0; i < ours.loss.size(); ++i) {
    CHECK(std::abs(ours.loss[i] - theirs.loss[i]) <= noise * (1.0 + std::abs(theirs.loss[i])));
  }
  const double heaviest = *std::max_element(p.weight.begin(), p.weight.end());
  const bool mean = p.options.reduction == tomolift::Reduction::kMean;
  const double scale = 4.0 * heaviest / (mean ? theirs.denominator : 1.0);  // |grad_output| < 4
  const double half = type == LogitsType::kFloat16 ? 0x1p-25 : 0.0;  // of its subnormal spacing
  for (size_t i = 0; i < ours.gradient.size(); ++i) {
    const double error = std::abs(ours.gradient[i] - theirs.gradient[i]);
    CHECK(error <= noise * scale + rounding(type) * std::abs(theirs.gradient[i]) + half);
  }
}

bool same(const std::vector<double>& x, const std::vector<double>& y) {
  return x.size() == y.size() && std::memcmp(x.data(), y.data(), x.size() * sizeof(double)) == 0;
}

bool same_bits(const DenseResult& a, const DenseResult& b) {
  return same(a.loss, b.loss) && same(a.gradient, b.gradient) && a.confusion == b.confusion &&
         a.denominator == b.denominator;
}

void threads_and_place_do_not_change_a_bit(const DenseProblem& p) {
  const DenseResult alone = run_dense(p, 1);
  for (int threads : {2, 3, 7}) CHECK(same_bits(run_dense(p, threads), alone));
  CHECK(same_bits(run_dense(p, 2, true), alone));
  for (const Place place : {Place::kHeap, Place::kShifted, Place::kFenced}) {
    DenseProblem moved = p;
    moved.place = place;
    CHECK(same_bits(run_dense(moved, 2), alone));
  }
}

// Gradients of 4 MiB and more are written past the caches where whole lines are, as in the fence.
void writing_past_the_caches_does_not_change_a_bit(LogitsType type) {
  const int64_t voxels = 174848 * 4 / size_of(type);
  DenseProblem p = draw_dense(type, 2, 3, voxels, false, 1);
  CHECK(voxels % 64 == 0 && voxels * 6 * size_of(type) > 4 << 20);
  p.place = Place::kShifted;
  const DenseResult within = run_dense(p, 2);
  p.place = Place::kFenced;
  CHECK(same_bits(run_dense(p, 2), within));
  CHECK(same_bits(run_dense(p, 3, true), within));
}

void each_pass_alone_gives_the_same_bits(const DenseProblem& p) {
  const DenseResult both = run_dense(p, 2);
  const DenseResult forward = run_dense(p, 2, false, Pass::kForward);
  CHECK(same(forward.loss, both.loss) && forward.confusion == both.confusion);
  CHECK(forward.denominator == both.denominator);
  const DenseResult backward = run_dense(p, 2, false, Pass::kBackward, &both.denominator);
  CHECK(same(backward.gradient, both.gradient));
  CHECK(same(run_dense(p, 2, true, Pass::kBackward, &both.denominator).gradient, both.gradient));
}

void ignored_voxels_have_a_zero_gradient(DenseProblem p) {
  const DenseResult finite = run_dense(p, 2);
  for (size_t i = 0; i < p.labels.size(); ++i) {
    if (p.labels[i] < p.shape.classes) continue;
    for (int64_t c = 0; c < p.shape.classes; ++c) {
      p.logits[offset_of(p, i, c)] = c % 2 == 0 ? kNaN : INFINITY;
    }
  }
  const DenseResult spoilt = run_dense(p, 2);
  CHECK(same_bits(spoilt, finite));
  for (size_t i = 0; i < p.labels.size(); ++i) {
    if (p.labels[i] < p.shape.classes) continue;
    for (int64_t c = 0; c < p.shape.classes; ++c) CHECK(spoilt.gradient[offset_of(p, i, c)] == 0.0);
  }
}

void labels_out_of_range_are_counted_and_named(DenseProblem p) {
  p.options.label_type = tomolift::LabelType::kInt64;
  const int64_t wrong[] = {int64_t(1) << 32, -100, 256, INT64_MIN};
  const int64_t last = p.labels.size() - 1;
  for (const int64_t value : wrong) {
    DenseProblem spoilt = p;
    spoilt.labels[last] = value;
    spoilt.labels[last / 2] = value;
    DenseProblem ignored = p;
    ignored.labels[last] = ignored.labels[last / 2] = p.shape.classes;
    const DenseResult r = run_dense(spoilt, 3);
    CHECK(r.fault.count == 2);
    CHECK(r.fault.first_position == last / 2);
    CHECK(r.fault.first_value == value);
    CHECK(same_bits(r, run_dense(ignored, 1)));
  }
}

}  // namespace

int main() {
  int turn = 0;
  for (const LogitsType type : kTypes) {
    for (int64_t classes : {1, 2, 3, 4, 5, 6, 7, 8, 9, 17}) {
      for (bool channels_last : {false, true}) {
        for (int64_t voxels : {1, 7, 31, 64, 255, 257, 2051}) {
          agrees_with_the_functor(draw_dense(type, 2, classes, voxels, channels_last, ++turn),
                                  1 + turn % 3);
        }
        const DenseProblem p = draw_dense(type, 2, classes, 131, channels_last, ++turn);
        ignored_voxels_have_a_zero_gradient(p);
        each_pass_alone_gives_the_same_bits(p);
        labels_out_of_range_are_counted_and_named(p);
      }
    }
    for (int reduction : {0, 1, 2}) {
      for (bool channels_last : {false, true}) {
        // several tiles a thread, the last of them a short one
        const DenseProblem p = draw_dense(type, 2, 3, 20011, channels_last, 12 + reduction);
        agrees_with_the_functor(p, 3);
        threads_and_place_do_not_change_a_bit(p);
      }
    }
    agrees_with_the_functor(draw_dense(type, 1, 3, 60007, false, 1), 2);
    writing_past_the_caches_does_not_change_a_bit(type);
  }
  return 0;
}
