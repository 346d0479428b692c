// Dense problems of every type, layout and option, the op's outputs, and what they should be: the
// functor, voxel by voxel, in double.
#pragma once

#include <random>

#include "elements.h"
#include "tomolift/voxel_cross_entropy.h"
#include "tomolift/voxel_functor.h"

struct DenseProblem {
  tomolift::DenseShape shape;
  tomolift::CrossEntropyOptions options;
  std::vector<double> logits;  // as they lie in memory
  std::vector<int64_t> labels;
  std::vector<double> weight;
  std::vector<double> grad_output;  // [1] or [N * V]
  Place place;
};

struct DenseResult {
  std::vector<double> loss;
  std::vector<double> gradient;
  std::vector<int64_t> confusion;
  double denominator;
  tomolift::LabelFault fault;
};

// `turn` seeds everything; the reduction is turn % 3.
inline DenseProblem draw_dense(tomolift::LogitsType type, int64_t batch, int64_t classes,
                               int64_t voxels, bool channels_last, int turn) {
  std::mt19937 generator(turn), choice(turn + 1000);
  DenseProblem p;
  p.shape = {batch,
             classes,
             voxels,
             classes * voxels,
             channels_last ? 1 : voxels,
             channels_last ? classes : 1};
  const tomolift::Reduction reduction = tomolift::Reduction(turn % 3);
  const tomolift::LabelType label_type = tomolift::LabelType(choice() % 4);
  const double smoothing = choice() % 2 == 0 ? 0.0 : 0.125;
  const bool weighted = choice() % 2 == 0;
  p.options = {type, label_type, reduction, true, classes, smoothing};
  p.place = Place(choice() % 3);
  // sixteenths up to 8 fit into every type, and are often equal
  for (int64_t i = 0; i < batch * classes * voxels; ++i) {
    p.logits.push_back((double(generator() % 255) - 127.0) / 16.0);
  }
  for (int64_t i = 0; i < batch * voxels; ++i) {
    p.labels.push_back(int64_t(generator() % (classes + 1)));  // `classes` is ignored
  }
  p.labels[0] = 0;  // at least one voxel is valid
  for (int64_t c = 0; c < classes; ++c) {
    p.weight.push_back(weighted ? 0.5 + 0.25 * double(c) : 1.0);
  }
  const int64_t seeds = reduction == tomolift::Reduction::kNone ? batch * voxels : 1;
  for (int64_t i = 0; i < seeds; ++i) {
    p.grad_output.push_back((double(generator() % 255) - 127.0) / 32.0);
  }
  return p;
}

inline int64_t offset_of(const DenseProblem& p, int64_t voxel, int64_t c) {
  return voxel / p.shape.voxels * p.shape.stride_batch +
         voxel % p.shape.voxels * p.shape.stride_voxel + c * p.shape.stride_class;
}

// The backward pass alone is told the denominator that the forward pass found.
inline DenseResult run_dense(const DenseProblem& p, int threads, bool in_place = false,
                             Pass pass = Pass::kBoth, const double* denominator = nullptr) {
  const tomolift::LogitsType type = p.options.logits_type;
  const tomolift::LogitsType real = type == tomolift::LogitsType::kFloat64
                                        ? tomolift::LogitsType::kFloat64
                                        : tomolift::LogitsType::kFloat32;
  const int64_t count = p.logits.size(), voxels = p.labels.size(), classes = p.shape.classes;
  const int64_t losses = p.grad_output.size();
  Bytes logits(count, size_of(type), p.place, 0);
  Bytes gradient(count, size_of(type), p.place, 0xff);  // NaN: an element left unwritten shows
  Bytes labels(voxels, size_of(p.options.label_type), p.place, 0);
  Bytes loss(losses, size_of(real), p.place, 0xff);
  Bytes grad_output(losses, size_of(real), p.place, 0);
  for (int64_t i = 0; i < count; ++i) {
    write_element(type, p.logits[i], logits.data() + i * size_of(type));
  }
  for (int64_t i = 0; i < voxels; ++i) {
    const int64_t size = size_of(p.options.label_type);
    write_label(p.options.label_type, p.labels[i], labels.data() + i * size);
  }
  for (int64_t i = 0; i < losses; ++i) {
    write_element(real, p.grad_output[i], grad_output.data() + i * size_of(real));
  }
  DenseResult r{};
  r.confusion.assign(classes * classes, -1);
  char* written = in_place ? logits.data() : gradient.data();
  Workspace workspace(tomolift::voxel_cross_entropy_cpu_workspace(p.shape, threads));
  tomolift::DenseBuffers buffers{logits.data(),      labels.data(),  p.weight.data(),
                                 grad_output.data(), losses > 1,     denominator,
                                 workspace.data(),   loss.data(),    written,
                                 r.confusion.data(), &r.denominator, &r.fault};
  if (pass == Pass::kForward) buffers.gradient = nullptr;
  if (pass == Pass::kBackward) {
    buffers.loss = nullptr;
    buffers.confusion = nullptr;
    buffers.denominator = nullptr;
    buffers.fault = nullptr;
  }
  tomolift::voxel_cross_entropy_cpu(p.shape, p.options, buffers, threads);
  for (int64_t i = 0; i < losses; ++i) {
    r.loss.push_back(read_element(real, loss.data() + i * size_of(real)));
  }
  for (int64_t i = 0; i < count; ++i) {
    r.gradient.push_back(read_element(type, written + i * size_of(type)));
  }
  return r;
}

inline DenseResult expected_dense(const DenseProblem& p) {
  const int64_t classes = p.shape.classes, voxels = p.labels.size();
  const double smoothing = p.options.label_smoothing;
  std::vector<double> hit(classes), smooth(classes);
  double smooth_total = 0.0;
  for (int64_t c = 0; c < classes; ++c) {
    hit[c] = (1.0 - smoothing) * p.weight[c];
    smooth[c] = smoothing / double(classes) * p.weight[c];
    smooth_total += smooth[c];
  }
  const tomolift::TargetTerms<double> terms{hit.data(), smooth.data(), smooth_total,
                                            smoothing > 0.0};
  DenseResult r{};
  r.gradient.assign(p.logits.size(), kNaN);
  r.confusion.assign(classes * classes, 0);
  const bool mean = p.options.reduction == tomolift::Reduction::kMean;
  for (const int64_t label : p.labels) r.denominator += label < classes ? p.weight[label] : 0.0;
  double total = 0.0;
  for (int64_t i = 0; i < voxels; ++i) {
    const int64_t truth = p.labels[i] < classes ? p.labels[i] : -1;
    const double seed = p.grad_output[p.grad_output.size() > 1 ? i : 0];
    const auto result = tomolift::voxel_cross_entropy_at(
        classes, truth, terms, mean ? seed / r.denominator : seed, true,
        [&](int64_t c) { return p.logits[offset_of(p, i, c)]; },
        [&](int64_t c, double g) { r.gradient[offset_of(p, i, c)] = g; });
    if (p.options.reduction == tomolift::Reduction::kNone) r.loss.push_back(result.loss);
    total += result.loss;
    if (truth >= 0) ++r.confusion[truth * classes + result.prediction];
  }
  if (mean) total /= r.denominator;
  if (p.options.reduction != tomolift::Reduction::kNone) r.loss.push_back(total);
  return r;
}
