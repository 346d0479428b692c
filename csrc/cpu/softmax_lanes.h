// Softmax, loss and gradient of one vector of voxels, up to eight classes, all in registers: what
// the dense and the up-sampled kernels share.
#pragma once

#include "simd.h"
#include "tomolift/voxel_functor.h"

namespace tomolift {
namespace {

// TargetTerms in vectors.
template <int kClasses>
struct LaneTerms {
  explicit LaneTerms(const TargetTerms<float>& terms)
      : hit(terms.hit), smooth_total(all_lanes(terms.smooth_total)), smoothed(terms.smoothed) {
    for (int c = 0; c < kClasses; ++c) {
      smooth[c] = all_lanes(terms.smooth[c]);
      total[c] = all_lanes(terms.hit[c] + terms.smooth_total);
    }
  }
  LaneTable hit;
  Floats smooth[kClasses];
  Floats total[kClasses];  // of hit and smooth, the weight of the log
  Floats smooth_total;
  bool smoothed;
};

template <int kClasses>
struct LaneSoftmax {
  Floats exponential[kClasses];  // of z - max
  Floats sum;                    // of these
  Floats at_truth;               // z - max of the true class, 0 where there is none
  Floats smooth_part;            // sum of smooth_c (z_c - max)
  Ints prediction;
};

// The first maximum wins, and the first NaN beats everything: torch's argmax.
template <int kClasses>
inline Ints predict_lanes(const Floats (&z)[kClasses]) {
  Floats best = z[0];
  Ints prediction = all_lanes(int32_t(0));
#pragma GCC unroll 8
  for (int c = 1; c < kClasses; ++c) {
    const Mask wins = either(above(z[c], best), without(is_nan(z[c]), is_nan(best)));
    best = select(wins, z[c], best);
    prediction = select(wins, all_lanes(int32_t(c)), prediction);
  }
  return prediction;
}

template <int kClasses, bool kPlain>
[[gnu::always_inline]] inline LaneSoftmax<kClasses> softmax_lanes(
    const Floats (&z)[kClasses], Ints truth, const LaneTerms<kClasses>& terms) {
  LaneSoftmax<kClasses> s;
  Floats best = z[0];
  s.prediction = all_lanes(int32_t(0));
#pragma GCC unroll 8
  for (int c = 1; c < kClasses; ++c) {
    s.prediction = select(above(z[c], best), all_lanes(int32_t(c)), s.prediction);
    best = maximum(z[c], best);
  }
  s.sum = all_lanes(0.0f);
  s.at_truth = all_lanes(0.0f);
  s.smooth_part = all_lanes(0.0f);
#pragma GCC unroll 8
  for (int c = 0; c < kClasses; ++c) {
    const Floats shifted = z[c] - best;
    s.exponential[c] = exp_nonpositive(shifted);
    s.sum = s.sum + s.exponential[c];
    s.at_truth = select(equal(truth, all_lanes(int32_t(c))), shifted, s.at_truth);
    if (!kPlain && terms.smoothed) {
      s.smooth_part = fused(terms.smooth[c], shifted, s.smooth_part);
    }
  }
  // any NaN among the logits is in the sum
  if (__builtin_expect(any(is_nan(s.sum)), 0)) s.prediction = predict_lanes(z);
  return s;
}

// The factor of the gradients of a vector. It is folded into the softmax's own factor unless it may
// be infinite or NaN, where p - 1 has to be taken first.
struct LaneScale {
  Floats value;
  bool apart;
};

// Hands gradient c, scale * dloss/dz_c, to store(c, lanes); exactly 0 where there is no truth.
template <int kClasses, bool kPlain, typename Store>
[[gnu::always_inline]] inline void lane_gradients(const LaneSoftmax<kClasses>& s, Ints truth,
                                                  const LaneTerms<kClasses>& terms, LaneScale scale,
                                                  Store store) {
  const Mask valid = not_negative(truth);
  const Floats folded = scale.apart ? all_lanes(1.0f) : scale.value;
  const Floats hit = kPlain ? folded : lookup(terms.hit, truth) * folded;
  const Floats total = kPlain ? folded : fused(terms.smooth_total, folded, hit);
  const Floats factor = total / s.sum;
#pragma GCC unroll 8
  for (int c = 0; c < kClasses; ++c) {
    const bool smoothed = !kPlain && terms.smoothed;
    Floats g = smoothed
                   ? fused(s.exponential[c], factor, all_lanes(0.0f) - terms.smooth[c] * folded)
                   : s.exponential[c] * factor;
    g = subtract_where(equal(truth, all_lanes(int32_t(c))), where(valid, g), hit);
    if (scale.apart) g = where(valid, g * scale.value);
    store(c, g);
  }
}

// The losses of several vectors are the log of a product of their sums: one log for kProduct of
// them. 32 factors of at most 8 are 2^96, within float's range.
constexpr int kProduct = 32;

template <int kClasses, bool kPlain>
class LaneLoss {
 public:
  LaneLoss() { clear(); }

  [[gnu::always_inline]] void add(const LaneSoftmax<kClasses>& s, Ints truth,
                                  const LaneTerms<kClasses>& terms) {
    const Mask valid = not_negative(truth);
    if constexpr (kPlain) {
      products_[0] = multiply_where(valid, products_[0], s.sum);
      rest_ = rest_ + s.at_truth;
    } else {
      // by class, as the weight of the log is that of the true class
#pragma GCC unroll 8
      for (int c = 0; c < kClasses; ++c) {
        products_[c] = multiply_where(equal(truth, all_lanes(int32_t(c))), products_[c], s.sum);
      }
      const Floats hit = lookup(terms.hit, truth);
      rest_ = add_where(valid, rest_, fused(hit, s.at_truth, s.smooth_part));
    }
  }

  // The sum of the losses added since the last call.
  Floats take(const LaneTerms<kClasses>& terms) {
    Floats loss = all_lanes(0.0f) - rest_;
    if constexpr (kPlain) {
      loss = loss + log_at_least_one(products_[0]);
    } else {
#pragma GCC unroll 8
      for (int c = 0; c < kClasses; ++c) {
        // a class that does not occur takes no part, whatever its weight
        const Mask absent = equal_to(products_[c], all_lanes(1.0f));
        const Floats part = terms.total[c] * log_at_least_one(products_[c]);
        loss = loss + select(absent, all_lanes(0.0f), part);
      }
    }
    clear();
    return loss;
  }

 private:
  void clear() {
    for (Floats& product : products_) product = all_lanes(1.0f);
    rest_ = all_lanes(0.0f);
  }

  Floats products_[kPlain ? 1 : kClasses];
  Floats rest_;
};

}  // namespace
}  // namespace tomolift
