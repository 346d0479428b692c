// Cross-entropy at one voxel, for host and device: what every kernel must agree with.
#pragma once

#include <cmath>

#include "tomolift/types.h"

namespace tomolift {

// torch's class weights w and label smoothing eps, folded into one table per class:
//   loss = (hit_y + smooth_total) lse(z) - hit_y z_y - sum_k smooth_k z_k
template <typename Real>
struct TargetTerms {
  const Real* hit;     // [C], (1 - eps) w_c
  const Real* smooth;  // [C], eps / C w_c
  Real smooth_total;   // sum of smooth
  bool smoothed;       // eps > 0; without it smooth is not read, so that 0 * -inf does not arise
};

// torch's argmax order: the first maximum wins, and the first NaN beats everything.
template <typename Real>
TOMOLIFT_HOST_DEVICE static inline bool beats(Real candidate, Real best) {
  return candidate > best || (candidate != candidate && best == best);
}

// Over a denominator of zero torch's mean is NaN even where smoothing leaves something to divide.
TOMOLIFT_HOST_DEVICE static inline double mean_of(double sum, double denominator) {
  return denominator == 0.0 ? double(NAN) : sum / denominator;
}

template <typename Real>
struct VoxelResult {
  Real loss;
  int64_t prediction;
};

// `load(c)` returns logit c; `store(c, g)` receives scale * dloss/dlogit_c. A negative `truth`
// marks an ignored voxel: its loss and gradient are exactly zero whatever its logits are.
template <typename Real, typename Load, typename Store>
TOMOLIFT_HOST_DEVICE static inline VoxelResult<Real> voxel_cross_entropy_at(
    int64_t classes, int64_t truth, const TargetTerms<Real>& terms, Real scale, bool want_gradient,
    Load load, Store store) {
  if (truth < 0) {
    if (want_gradient) {
      for (int64_t c = 0; c < classes; ++c) store(c, Real(0));
    }
    return {Real(0), 0};
  }
  Real maximum = load(0);
  int64_t prediction = 0;
  for (int64_t c = 1; c < classes; ++c) {
    const Real value = load(c);
    if (beats(value, maximum)) {
      maximum = value;
      prediction = c;
    }
  }
  Real sum = 0;
  Real smooth_part = 0;
  for (int64_t c = 0; c < classes; ++c) {
    const Real shifted = load(c) - maximum;
    sum += std::exp(shifted);
    if (terms.smoothed) smooth_part += terms.smooth[c] * shifted;
  }
  const Real hit = terms.hit[truth];
  const Real total = hit + terms.smooth_total;
  const Real loss = total * std::log(sum) - hit * (load(truth) - maximum) - smooth_part;
  if (want_gradient) {
    const Real per_exponential = total / sum;
    for (int64_t c = 0; c < classes; ++c) {
      const Real target =
          (terms.smoothed ? terms.smooth[c] : Real(0)) + (c == truth ? hit : Real(0));
      store(c, scale * (std::exp(load(c) - maximum) * per_exponential - target));
    }
  }
  return {loss, prediction};
}

}  // namespace tomolift
