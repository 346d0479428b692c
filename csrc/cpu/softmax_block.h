// Softmax, loss and gradient of a block of voxels whose logits lie class plane by class plane.
// The inner loops run over voxels without branches, so that the compiler vectorises them.
#pragma once

#include "numeric.h"
#include "tomolift/voxel_functor.h"

namespace tomolift {
namespace {

// 256 voxels of 3 classes and all the scratch of a block are 12 KiB: well inside the L1 cache.
constexpr int64_t kBlock = 256;

template <typename Real>
struct BlockScratch {
  alignas(64) int32_t truth[kBlock];  // class, or -1 where the voxel takes part in nothing
  alignas(64) int32_t prediction[kBlock];
  alignas(64) Real loss[kBlock];  // 0 where truth is -1
  alignas(64) Real maximum[kBlock];
  alignas(64) Real sum[kBlock];
  alignas(64) Real truth_logit[kBlock];  // less the maximum
  alignas(64) Real hit[kBlock];
  alignas(64) Real smooth_part[kBlock];
  alignas(64) Real scale[kBlock];  // of the gradient
  alignas(64) uint8_t code[kBlock];
};

template <typename Real>
inline void find_maximum(const Real* z, int64_t z_stride, int64_t classes, int64_t n,
                         BlockScratch<Real>& s) {
  Real* __restrict maximum = s.maximum;
  int32_t* __restrict prediction = s.prediction;
  for (int64_t i = 0; i < n; ++i) {
    maximum[i] = z[i];
    prediction[i] = 0;
  }
  for (int64_t c = 1; c < classes; ++c) {
    const Real* __restrict plane = z + c * z_stride;
    for (int64_t i = 0; i < n; ++i) {
      const Real best = maximum[i];
      const bool wins = (plane[i] > best) | ((plane[i] != plane[i]) & (best == best));
      maximum[i] = wins ? plane[i] : best;
      prediction[i] = wins ? int32_t(c) : prediction[i];
    }
  }
}

// Stage 1 of the loss: e = exp(z - max), its sum, and what the target picks out.
template <bool kPlain>
inline void exponentials(const float* z, int64_t z_stride, int64_t classes, int64_t n,
                         const TargetTerms<float>& terms, float* e, BlockScratch<float>& s) {
  float* __restrict sum = s.sum;
  float* __restrict truth_logit = s.truth_logit;
  float* __restrict hit = s.hit;
  float* __restrict smooth_part = s.smooth_part;
  const float* __restrict maximum = s.maximum;
  const int32_t* __restrict truth = s.truth;
  for (int64_t i = 0; i < n; ++i) {
    sum[i] = 0.0f;
    truth_logit[i] = 0.0f;
    if (!kPlain) {
      hit[i] = 0.0f;
      smooth_part[i] = 0.0f;
    }
  }
  for (int64_t c = 0; c < classes; ++c) {
    const float* __restrict plane = z + c * z_stride;
    float* __restrict e_plane = e + c * kBlock;
    const float hit_c = terms.hit[c];
    const float smooth_c = terms.smooth[c];
    const int32_t label = int32_t(c);
    for (int64_t i = 0; i < n; ++i) {
      const float shifted = plane[i] - maximum[i];
      const float exponential = exp_nonpositive(shifted);
      e_plane[i] = exponential;
      sum[i] += exponential;
      truth_logit[i] = truth[i] == label ? shifted : truth_logit[i];
      if (!kPlain) hit[i] = truth[i] == label ? hit_c : hit[i];
    }
    if (!kPlain && terms.smoothed) {
      for (int64_t i = 0; i < n; ++i) smooth_part[i] += smooth_c * (plane[i] - maximum[i]);
    }
  }
}

template <bool kPlain>
inline void losses(int64_t n, const TargetTerms<float>& terms, BlockScratch<float>& s) {
  const float total = terms.smooth_total;
  for (int64_t i = 0; i < n; ++i) {
    const float log_sum = log_at_least_one(s.sum[i]);
    const float loss =
        kPlain ? log_sum - s.truth_logit[i]
               : (s.hit[i] + total) * log_sum - s.hit[i] * s.truth_logit[i] - s.smooth_part[i];
    s.loss[i] = s.truth[i] >= 0 ? loss : 0.0f;
  }
}

template <bool kPlain>
inline void gradients(int64_t classes, int64_t n, const TargetTerms<float>& terms, const float* e,
                      float* g, int64_t g_stride, BlockScratch<float>& s) {
  float* __restrict factor = s.sum;
  const float* __restrict hit = s.hit;
  const float* __restrict scale = s.scale;
  const int32_t* __restrict truth = s.truth;
  for (int64_t i = 0; i < n; ++i) {
    factor[i] = (kPlain ? 1.0f : hit[i] + terms.smooth_total) / factor[i];
  }
  for (int64_t c = 0; c < classes; ++c) {
    const float* e_plane = e + c * kBlock;  // may be g itself
    float* plane = g + c * g_stride;
    const float smooth_c = terms.smooth[c];
    const int32_t label = int32_t(c);
#pragma GCC ivdep
    for (int64_t i = 0; i < n; ++i) {
      const float at_truth = kPlain ? 1.0f : hit[i];
      const float target = (kPlain ? 0.0f : smooth_c) + (truth[i] == label ? at_truth : 0.0f);
      const float gradient = scale[i] * (e_plane[i] * factor[i] - target);
      plane[i] = truth[i] >= 0 ? gradient : 0.0f;
    }
  }
}

// One block: s.truth in; s.prediction and s.loss out; the gradient into g where it is not null.
// `plain` says that all weights are one and nothing is smoothed. e is scratch, [C, kBlock].
inline void softmax_block(const float* z, int64_t z_stride, int64_t classes, int64_t n,
                          const TargetTerms<float>& terms, bool plain, float* e, float* g,
                          int64_t g_stride, BlockScratch<float>& s) {
  find_maximum(z, z_stride, classes, n, s);
  if (plain) {
    exponentials<true>(z, z_stride, classes, n, terms, e, s);
    losses<true>(n, terms, s);
    if (g != nullptr) gradients<true>(classes, n, terms, e, g, g_stride, s);
  } else {
    exponentials<false>(z, z_stride, classes, n, terms, e, s);
    losses<false>(n, terms, s);
    if (g != nullptr) gradients<false>(classes, n, terms, e, g, g_stride, s);
  }
}

// float64 is there for gradient checks: the functor that the CUDA kernels run, voxel by voxel.
inline void softmax_block(const double* z, int64_t z_stride, int64_t classes, int64_t n,
                          const TargetTerms<double>& terms, bool, double*, double* g,
                          int64_t g_stride, BlockScratch<double>& s) {
  for (int64_t i = 0; i < n; ++i) {
    const auto load = [&](int64_t c) { return z[c * z_stride + i]; };
    const auto store = [&](int64_t c, double value) { g[c * g_stride + i] = value; };
    const VoxelResult<double> result = voxel_cross_entropy_at(
        classes, int64_t(s.truth[i]), terms, s.scale[i], g != nullptr, load, store);
    s.loss[i] = result.loss;
    s.prediction[i] = int32_t(result.prediction);
  }
}

// Adds the number of entries of s.code that equal each of [0, entries): compared one by one, which
// vectorises and is quicker than a histogram up to about 16 entries.
template <typename Real>
inline void count_codes(int64_t entries, int64_t n, const BlockScratch<Real>& s, int64_t* counts) {
  const uint8_t* __restrict code = s.code;
  for (int64_t entry = 0; entry < entries; ++entry) {
    for (int64_t start = 0; start < n; start += 128) {  // a byte counts to 255 at most
      const int64_t end = start + 128 < n ? start + 128 : n;
      uint8_t count = 0;
      for (int64_t i = start; i < end; ++i) count = uint8_t(count + (code[i] == uint8_t(entry)));
      counts[entry] += count;
    }
  }
}

template <typename Real>
inline void count_confusion(int64_t classes, int64_t n, BlockScratch<Real>& s, int64_t* confusion) {
  if (classes > 4) {
    for (int64_t i = 0; i < n; ++i) {
      if (s.truth[i] >= 0) ++confusion[s.truth[i] * classes + s.prediction[i]];
    }
    return;
  }
  for (int64_t i = 0; i < n; ++i) {
    const int32_t entry = s.truth[i] * int32_t(classes) + s.prediction[i];
    s.code[i] = uint8_t(s.truth[i] >= 0 ? entry : 255);
  }
  count_codes(classes * classes, n, s, confusion);
}

template <typename Real>
inline void count_classes(int64_t classes, int64_t n, BlockScratch<Real>& s, int64_t* counts) {
  if (classes > 16) {
    for (int64_t i = 0; i < n; ++i) {
      if (s.truth[i] >= 0) ++counts[s.truth[i]];
    }
    return;
  }
  for (int64_t i = 0; i < n; ++i) s.code[i] = uint8_t(s.truth[i] >= 0 ? s.truth[i] : 255);
  count_codes(classes, n, s, counts);
}

// Sum in double over eight lanes, whose order does not depend on anything but n.
template <typename Real>
inline double sum_losses(const Real* loss, int64_t n) {
  double lanes[8] = {};
  int64_t i = 0;
  for (; i + 8 <= n; i += 8) {
    for (int64_t lane = 0; lane < 8; ++lane) lanes[lane] += double(loss[i + lane]);
  }
  for (; i < n; ++i) lanes[0] += double(loss[i]);
  return ((lanes[0] + lanes[4]) + (lanes[2] + lanes[6])) +
         ((lanes[1] + lanes[5]) + (lanes[3] + lanes[7]));
}

}  // namespace
}  // namespace tomolift
