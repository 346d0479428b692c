// A random problem of the dense op in any type and layout, and its answer in double by the functor.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <cmath>
#include <cstring>
#include <random>
#include <vector>

#include "buffer.h"
#include "tomolift/voxel_cross_entropy.h"
#include "tomolift/voxel_functor.h"

struct DenseProblem {
  tomolift::DenseShape shape{};
  tomolift::CrossEntropyOptions options{};
  Buffer logits;                   // of options.logits_type
  Buffer labels;                   // of options.label_type
  std::vector<double> weight;      // empty for none
  std::vector<float> grad_output;  // empty, [1] or [N, V]
  int misaligned = 0;              // elements that every buffer begins after 16 bytes

  int64_t voxels() const { return shape.batch * shape.voxels; }
  int64_t elements() const { return voxels() * shape.classes; }
  int element_bytes() const {
    return options.logits_type == tomolift::LogitsType::kFloat32 ? 4 : 2;
  }
};

inline double decode(tomolift::LogitsType type, const void* memory, int64_t i) {
  switch (type) {
    case tomolift::LogitsType::kBFloat16:
      return __bfloat162float(static_cast<const __nv_bfloat16*>(memory)[i]);
    case tomolift::LogitsType::kFloat16:
      return __half2float(static_cast<const __half*>(memory)[i]);
    default:
      return static_cast<const float*>(memory)[i];
  }
}

inline void encode(tomolift::LogitsType type, float value, void* memory, int64_t i) {
  switch (type) {
    case tomolift::LogitsType::kBFloat16:
      static_cast<__nv_bfloat16*>(memory)[i] = __float2bfloat16_rn(value);
      break;
    case tomolift::LogitsType::kFloat16:
      static_cast<__half*>(memory)[i] = __float2half_rn(value);
      break;
    default:
      static_cast<float*>(memory)[i] = value;
  }
}

inline int64_t read_label(const DenseProblem& p, int64_t i) {
  switch (p.options.label_type) {
    case tomolift::LabelType::kUInt8:
      return p.labels.as<uint8_t>()[i];
    case tomolift::LabelType::kInt16:
      return p.labels.as<int16_t>()[i];
    case tomolift::LabelType::kInt32:
      return p.labels.as<int32_t>()[i];
    default:
      return p.labels.as<int64_t>()[i];
  }
}

inline void write_label(DenseProblem& p, int64_t i, int64_t value) {
  switch (p.options.label_type) {
    case tomolift::LabelType::kUInt8:
      p.labels.as<uint8_t>()[i] = uint8_t(value);
      break;
    case tomolift::LabelType::kInt16:
      p.labels.as<int16_t>()[i] = int16_t(value);
      break;
    case tomolift::LabelType::kInt32:
      p.labels.as<int32_t>()[i] = int32_t(value);
      break;
    default:
      p.labels.as<int64_t>()[i] = value;
  }
}

inline DenseProblem draw_dense(int64_t batch, int64_t classes, int64_t voxels, bool channels_last,
                               tomolift::LogitsType logits_type, tomolift::LabelType label_type,
                               int misaligned = 0) {
  constexpr int kLabelBytes[] = {1, 2, 4, 8};
  DenseProblem p;
  p.shape = {batch,
             classes,
             voxels,
             classes * voxels,
             channels_last ? 1 : voxels,
             channels_last ? classes : 1};
  p.options = {logits_type, label_type, tomolift::Reduction::kMean, false, 0, 0.0};
  p.misaligned = misaligned;
  p.logits = Buffer(p.elements() * p.element_bytes(), misaligned * p.element_bytes());
  const int label_bytes = kLabelBytes[int(label_type)];
  p.labels = Buffer(p.voxels() * label_bytes, misaligned * label_bytes);
  std::mt19937 generator(unsigned(7 + classes + voxels));
  std::normal_distribution<float> normal(0.0f, 3.0f);
  for (int64_t i = 0; i < p.elements(); ++i) {
    encode(logits_type, normal(generator), p.logits.data(), i);
  }
  for (int64_t i = 0; i < p.voxels(); ++i) write_label(p, i, int64_t(generator() % classes));
  return p;
}

struct DenseAnswer {
  double loss = 0.0;
  double denominator = 0.0;
  std::vector<double> losses;    // [N, V]
  std::vector<double> gradient;  // by the strides
  std::vector<int64_t> confusion;
  tomolift::LabelFault fault{0, INT64_MAX, 0};
};

// The class, or -1.
inline int64_t valid_label(const DenseProblem& p, int64_t i, tomolift::LabelFault& fault) {
  const int64_t label = read_label(p, i);
  if (p.options.has_ignore_index && label == p.options.ignore_index) return -1;
  if (label >= 0 && label < p.shape.classes) return label;
  if (fault.count++ == 0) {
    fault.first_position = i;
    fault.first_value = label;
  }
  return -1;
}

inline DenseAnswer answer(const DenseProblem& p) {
  const int64_t classes = p.shape.classes;
  DenseAnswer a;
  std::vector<double> hit(classes), smooth(classes);
  double smooth_total = 0.0;
  const auto weight = [&](int64_t c) { return p.weight.empty() ? 1.0 : p.weight[c]; };
  for (int64_t c = 0; c < classes; ++c) {
    hit[c] = (1.0 - p.options.label_smoothing) * weight(c);
    smooth[c] = p.options.label_smoothing / double(classes) * weight(c);
    smooth_total += smooth[c];
  }
  std::vector<int64_t> truth(p.voxels());
  for (int64_t i = 0; i < p.voxels(); ++i) {
    truth[i] = valid_label(p, i, a.fault);
    if (truth[i] >= 0) a.denominator += weight(truth[i]);
  }
  const tomolift::TargetTerms<double> terms{hit.data(), smooth.data(), smooth_total,
                                            p.options.label_smoothing > 0.0};
  std::vector<double> logits(p.elements());
  for (int64_t i = 0; i < p.elements(); ++i) {
    logits[i] = decode(p.options.logits_type, p.logits.data(), i);
  }
  a.losses.resize(p.voxels());
  a.gradient.resize(p.elements());
  a.confusion.assign(classes * classes, 0);
  const bool mean = p.options.reduction == tomolift::Reduction::kMean;
  for (int64_t i = 0; i < p.voxels(); ++i) {
    const int64_t offset =
        i / p.shape.voxels * p.shape.stride_batch + i % p.shape.voxels * p.shape.stride_voxel;
    double scale = mean ? 1.0 / a.denominator : 1.0;
    if (!p.grad_output.empty()) scale *= p.grad_output[p.grad_output.size() > 1 ? i : 0];
    const auto load = [&](int64_t c) { return logits[offset + c * p.shape.stride_class]; };
    const auto store = [&](int64_t c, double g) {
      a.gradient[offset + c * p.shape.stride_class] = g;
    };
    const auto voxel =
        tomolift::voxel_cross_entropy_at(classes, truth[i], terms, scale, true, load, store);
    a.losses[i] = voxel.loss;
    a.loss += voxel.loss;
    if (truth[i] >= 0) ++a.confusion[truth[i] * classes + voxel.prediction];
  }
  if (mean) a.loss /= a.denominator;
  return a;
}
