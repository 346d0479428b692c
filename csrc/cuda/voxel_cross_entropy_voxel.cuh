// Cross-entropy at one voxel whose logits lie in registers; what voxel_functor.h says, faster.
#pragma once

#include "approximate.cuh"
#include "voxel_cross_entropy_job.cuh"

namespace tomolift {
namespace {

// The block's copy of the target tables, as in TargetTerms.
struct DenseTables {
  const float* hit;     // [kClasses]
  const float* smooth;  // [kClasses]
  float smooth_total;
  bool smoothed;
};

struct DenseVoxel {
  int prediction;
  float sum;   // of the exponentials, relative to the largest; one where the voxel is left out
  float loss;  // without the logarithm of the sum where kPlain, which a group takes together
};

// On return z holds the gradient. A truth below zero leaves the voxel out, whose logits the caller
// has made finite; the scale may be infinite then (no valid voxel at all) and is not looked at.
template <int kClasses, bool kPlain>
__device__ inline DenseVoxel evaluate_voxel(float (&z)[kClasses], int truth, float scale,
                                            const DenseTables& tables) {
  const bool valid = truth >= 0;
  DenseVoxel voxel{0, 0.0f, 0.0f};
  float maximum = z[0];
#pragma unroll
  for (int c = 1; c < kClasses; ++c) {
    // the first maximum wins, the first NaN beats everything: `beats` in two comparisons
    const bool wins = !(z[c] <= maximum) && maximum == maximum;
    maximum = wins ? z[c] : maximum;
    voxel.prediction = wins ? c : voxel.prediction;
  }
  float hit = 1.0f;
  float total = 1.0f;
  if (!kPlain) {
    hit = valid ? tables.hit[truth] : 0.0f;
    total = hit + tables.smooth_total;
  }
  float target[kClasses];
  float shifted_truth = 0.0f;
  float smooth_part = 0.0f;
#pragma unroll
  for (int c = 0; c < kClasses; ++c) {
    const float shifted = z[c] - maximum;
    shifted_truth = c == truth ? shifted : shifted_truth;
    target[c] = c == truth ? hit : 0.0f;
    if (!kPlain && tables.smoothed) {
      smooth_part = fmaf(tables.smooth[c], shifted, smooth_part);
      target[c] += tables.smooth[c];
    }
    z[c] = exp_nonpositive(shifted);
    voxel.sum = c == 0 ? z[c] : voxel.sum + z[c];
  }
  const float per_exponential = total * reciprocal(voxel.sum);
  scale = valid ? scale : 0.0f;
  voxel.sum = valid ? voxel.sum : 1.0f;
#pragma unroll
  for (int c = 0; c < kClasses; ++c) {
    // the scale last: an infinite one times a difference is not a difference of infinities
    z[c] = scale * fmaf(z[c], per_exponential, -target[c]);
  }
  if (kPlain) {
    voxel.loss = -shifted_truth;
  } else {
    voxel.loss = total * logf(voxel.sum) - hit * shifted_truth - smooth_part;
    voxel.loss = valid ? voxel.loss : 0.0f;
  }
  return voxel;
}

}  // namespace
}  // namespace tomolift
