// The dense op's CUDA kernels on the CPU against the functor in double.
#include <cuda_runtime.h>

#include <cmath>
#include <limits>
#include <utility>
#include <vector>

#include "check.h"
#include "cuda_dense_problem.h"

namespace {

using emulated_cuda::Order;
using tomolift::LabelType;
using tomolift::LogitsType;
using tomolift::Reduction;

constexpr LogitsType kLogitsTypes[] = {LogitsType::kFloat32, LogitsType::kBFloat16,
                                       LogitsType::kFloat16};
constexpr LabelType kLabelTypes[] = {LabelType::kUInt8, LabelType::kInt16, LabelType::kInt32,
                                     LabelType::kInt64};

struct Result {
  Buffer loss;      // [1] or [N, V]
  Buffer gradient;  // empty where not asked for
  Buffer confusion;
  double denominator = -1.0;
  tomolift::LabelFault fault{-1, -1, -1};

  bool operator==(const Result& other) const {
    return loss.same_bytes(other.loss) && gradient.same_bytes(other.gradient) &&
           confusion.same_bytes(other.confusion) && denominator == other.denominator;
  }
};

enum class Gradient { kNone, kOwn, kInPlace };

Result run(const DenseProblem& p, Gradient where = Gradient::kOwn) {
  const bool per_voxel = p.options.reduction == Reduction::kNone;
  const int offset = p.misaligned * p.element_bytes();
  Result r;
  r.loss = Buffer((per_voxel ? p.voxels() : 1) * 4, p.misaligned * 4);
  r.confusion = Buffer(p.shape.classes * p.shape.classes * 8);
  if (where == Gradient::kOwn) r.gradient = Buffer(p.elements() * p.element_bytes(), offset);
  if (where == Gradient::kInPlace) r.gradient = p.logits;
  const Buffer workspace(tomolift::voxel_cross_entropy_cuda_workspace(p.shape));
  const bool in_place = where == Gradient::kInPlace;
  const tomolift::DenseBuffers buffers{in_place ? r.gradient.data() : p.logits.data(),
                                       p.labels.data(),
                                       p.weight.empty() ? nullptr : p.weight.data(),
                                       p.grad_output.empty() ? nullptr : p.grad_output.data(),
                                       p.grad_output.size() > 1,
                                       nullptr,
                                       workspace.data(),
                                       r.loss.data(),
                                       where == Gradient::kNone ? nullptr : r.gradient.data(),
                                       r.confusion.as<int64_t>(),
                                       &r.denominator,
                                       &r.fault};
  CHECK(tomolift::voxel_cross_entropy_cuda(p.shape, p.options, buffers, nullptr) == cudaSuccess);
  return r;
}

// Half a unit in the last place of the type beside the float arithmetic's error.
bool near(LogitsType type, double value, double expected, double scale) {
  if (std::isnan(expected)) return std::isnan(value);
  if (std::isinf(expected)) return value == expected;
  const double rounding = type == LogitsType::kFloat32    ? 0.0
                          : type == LogitsType::kBFloat16 ? 0x1p-8
                                                          : 0x1p-11;
  const double smallest = type == LogitsType::kFloat16 ? 0x1p-25 : 0.0;
  return std::abs(value - expected) <=
         (1 + rounding) * 1e-6 * scale + rounding * std::abs(expected) + smallest;
}

void agrees(const DenseProblem& p, const Result& r) {
  const DenseAnswer a = answer(p);
  CHECK(std::memcmp(r.confusion.data(), a.confusion.data(), size_t(r.confusion.bytes())) == 0);
  CHECK(r.fault.count == a.fault.count);
  CHECK(r.fault.count == 0 || r.fault.first_position == a.fault.first_position);
  CHECK(r.fault.count == 0 || r.fault.first_value == a.fault.first_value);
  CHECK(std::abs(r.denominator - a.denominator) <= 1e-12 * a.denominator);
  const float* loss = r.loss.as<float>();
  if (p.options.reduction == Reduction::kNone) {
    for (int64_t i = 0; i < p.voxels(); ++i) {
      CHECK(near(LogitsType::kFloat32, loss[i], a.losses[i], 1.0 + std::abs(a.losses[i])));
    }
  } else {
    CHECK(near(LogitsType::kFloat32, *loss, a.loss, std::abs(a.loss)));
  }
  if (r.gradient.bytes() == 0) return;
  // the largest gradient that a voxel can have
  double scale = p.options.reduction == Reduction::kMean ? 1.0 / a.denominator : 1.0;
  scale *= p.weight.empty() ? 1.0 : 3.0;
  for (int64_t i = 0; i < p.elements(); ++i) {
    const double here = scale * (p.grad_output.empty() ? 1.0 : 8.0);
    CHECK(near(p.options.logits_type, decode(p.options.logits_type, r.gradient.data(), i),
               a.gradient[i], here));
  }
}

void agrees(const DenseProblem& p) { agrees(p, run(p)); }

void every_type_layout_and_class_count_agrees() {
  int turn = 0;
  for (const LogitsType logits_type : kLogitsTypes) {
    for (const bool last : {false, true}) {
      for (const int64_t classes : {1, 2, 3, 4, 5, 6, 7, 8, 9, 40}) {
        const LabelType label_type = kLabelTypes[turn++ % 4];
        agrees(draw_dense(2, classes, 264, last, logits_type, label_type));
        agrees(draw_dense(2, classes, 267, last, logits_type, label_type));
      }
    }
  }
}

void every_label_type_agrees_in_every_logits_type() {
  for (const LogitsType logits_type : kLogitsTypes) {
    for (const LabelType label_type : kLabelTypes) {
      agrees(draw_dense(1, 3, 512, false, logits_type, label_type));
      agrees(draw_dense(1, 3, 512, true, logits_type, label_type));
      agrees(draw_dense(1, 3, 999, false, logits_type, label_type));
    }
  }
}

void sizes_around_a_tile_and_single_voxels_agree() {
  for (const int64_t voxels : {1, 3, 4, 8, 8184, 8191, 8193}) {
    agrees(draw_dense(1, 3, voxels, false, LogitsType::kFloat32, LabelType::kUInt8));
    agrees(draw_dense(2, 2, voxels, true, LogitsType::kBFloat16, LabelType::kInt64));
  }
}

void addresses_off_16_bytes_agree() {
  for (const LogitsType logits_type : kLogitsTypes) {
    for (const bool last : {false, true}) {
      agrees(draw_dense(2, 3, 1024, last, logits_type, LabelType::kUInt8, 1));
      agrees(draw_dense(2, 9, 1024, last, logits_type, LabelType::kInt16, 1));
    }
  }
}

// The kernels with tables differ by type and, at eight classes of 16 bits, in how they read.
void options_agree() {
  const std::pair<LogitsType, int64_t> kernels[] = {{LogitsType::kFloat32, 3},
                                                    {LogitsType::kFloat32, 9},
                                                    {LogitsType::kBFloat16, 4},
                                                    {LogitsType::kFloat16, 8}};
  for (const auto& [type, classes] : kernels) {
    for (const Reduction reduction : {Reduction::kNone, Reduction::kMean, Reduction::kSum}) {
      for (const bool weighted : {false, true}) {
        for (const double smoothing : {0.0, 0.1}) {
          DenseProblem p = draw_dense(2, classes, 264, false, type, LabelType::kUInt8);
          p.options.reduction = reduction;
          p.options.label_smoothing = smoothing;
          p.options.has_ignore_index = true;
          p.options.ignore_index = 1;
          for (int64_t c = 0; weighted && c < classes; ++c) {
            p.weight.push_back(0.5 + 2.5 * double(c) / double(classes));
          }
          agrees(p);
          agrees(p, run(p, Gradient::kNone));
          p.grad_output.assign(reduction == Reduction::kNone ? p.voxels() : 1, -2.0f);
          for (size_t i = 0; i < p.grad_output.size(); i += 3) p.grad_output[i] = 8.0f;
          agrees(p);
        }
      }
    }
  }
}

void a_scaled_float16_gradient_survives() {
  DenseProblem p = draw_dense(1, 3, 16384, false, LogitsType::kFloat16, LabelType::kUInt8);
  p.grad_output = {65536.0f};
  const Result r = run(p);
  int64_t zeros = 0;
  for (int64_t i = 0; i < p.elements(); ++i) {
    zeros += decode(LogitsType::kFloat16, r.gradient.data(), i) == 0.0;
  }
  CHECK(zeros < p.elements() / 100);
}

void labels_out_of_range_are_left_out_and_named() {
  for (const int64_t classes : {3, 5, 9}) {
    for (const int64_t voxels : {1040, 1041}) {
      DenseProblem p =
          draw_dense(2, classes, voxels, false, LogitsType::kFloat32, LabelType::kInt64);
      p.options.has_ignore_index = true;
      p.options.ignore_index = -1;
      write_label(p, 12, -1);
      write_label(p, 13, (int64_t(1) << 32) + 1);  // its low half is a class
      write_label(p, 14, -100);
      write_label(p, voxels, classes);
      write_label(p, 2 * voxels - 1, 256);
      const Result r = run(p);
      CHECK(r.fault.count == 4 && r.fault.first_position == 13);
      CHECK(r.fault.first_value == (int64_t(1) << 32) + 1);
      agrees(p, r);
    }
  }
}

void no_counter_overflows_where_all_voxels_are_alike() {
  for (const int64_t classes : {1, 3, 8}) {
    for (const LogitsType logits_type : {LogitsType::kFloat32, LogitsType::kBFloat16}) {
      DenseProblem p = draw_dense(1, classes, 16384, false, logits_type, LabelType::kUInt8);
      for (int64_t i = 0; i < p.elements(); ++i) {
        encode(logits_type, i / p.shape.voxels + 1 == classes ? 1.0f : 0.0f, p.logits.data(), i);
      }
      for (int64_t i = 0; i < p.voxels(); ++i) write_label(p, i, classes - 1);
      agrees(p);
    }
  }
}

void an_ignore_index_beyond_the_labels_type_matches_nothing() {
  DenseProblem p = draw_dense(1, 3, 1024, false, LogitsType::kFloat32, LabelType::kUInt8);
  p.options.has_ignore_index = true;
  p.options.ignore_index = 256 + 1;  // its low byte is a class
  agrees(p);
  p.options.ignore_index = (int64_t(1) << 32) + 1;
  agrees(p);
}

void numbers_that_are_not_finite_agree() {
  const float infinity = std::numeric_limits<float>::infinity();
  for (const LogitsType logits_type : kLogitsTypes) {
    for (const int64_t classes : {2, 3, 9}) {
      DenseProblem p = draw_dense(1, classes, 1024, true, logits_type, LabelType::kUInt8);
      p.options.reduction = Reduction::kNone;
      p.options.has_ignore_index = true;
      p.options.ignore_index = 200;
      const float special[] = {NAN, infinity, -infinity, 0.0f};
      for (int64_t i = 0; i < 256; ++i) {
        for (int64_t c = 0; c < 2; ++c) {
          encode(logits_type, special[c == 0 ? i % 4 : i / 4 % 4], p.logits.data(),
                 i * classes + c);
        }
        if (i >= 128) write_label(p, i, 200);
      }
      agrees(p);
      p.grad_output.assign(p.voxels(), infinity);
      const Result r = run(p);
      for (int64_t i = 128 * classes; i < 256 * classes; ++i) {
        CHECK(decode(logits_type, r.gradient.data(), i) == 0.0);
      }
    }
  }
}

void ties_go_to_the_first_class() {
  for (const int64_t classes : {3, 8, 9}) {
    DenseProblem p = draw_dense(1, classes, 1024, false, LogitsType::kFloat32, LabelType::kUInt8);
    for (int64_t i = 0; i < p.elements(); ++i) p.logits.as<float>()[i] = 0.5f;
    const Result r = run(p);
    for (int64_t t = 0; t < classes; ++t) {
      for (int64_t c = 1; c < classes; ++c) CHECK(r.confusion.as<int64_t>()[t * classes + c] == 0);
    }
    agrees(p, r);
  }
}

void a_loss_of_nothing_is_nan_and_its_gradient_zero() {
  for (const int64_t classes : {3, 9}) {
    DenseProblem p = draw_dense(1, classes, 1024, false, LogitsType::kFloat32, LabelType::kUInt8);
    p.options.has_ignore_index = true;
    p.options.ignore_index = 7;
    for (int64_t i = 0; i < p.voxels(); ++i) write_label(p, i, 7);
    const Result r = run(p);
    CHECK(std::isnan(*r.loss.as<float>()));
    for (int64_t i = 0; i < p.elements(); ++i) CHECK(r.gradient.as<float>()[i] == 0.0f);
  }
  DenseProblem empty = draw_dense(0, 3, 16, false, LogitsType::kFloat32, LabelType::kUInt8);
  CHECK(std::isnan(*run(empty).loss.as<float>()));
}

void a_known_denominator_is_taken_as_it_is() {
  const DenseProblem p = draw_dense(1, 3, 1024, false, LogitsType::kFloat32, LabelType::kUInt8);
  const Buffer workspace(tomolift::voxel_cross_entropy_cuda_workspace(p.shape));
  const Buffer gradient(p.elements() * 4);
  const double denominator = 2.0 * double(p.voxels());
  const tomolift::DenseBuffers buffers{p.logits.data(), p.labels.data(), nullptr,          nullptr,
                                       false,           &denominator,    workspace.data(), nullptr,
                                       gradient.data(), nullptr,         nullptr,          nullptr};
  CHECK(tomolift::voxel_cross_entropy_cuda(p.shape, p.options, buffers, nullptr) == cudaSuccess);
  const Result whole = run(p);
  for (int64_t i = 0; i < p.elements(); ++i) {
    CHECK(gradient.as<float>()[i] == 0.5f * whole.gradient.as<float>()[i]);
  }
}

void neither_order_nor_place_changes_a_bit() {
  for (const int64_t classes : {3, 4, 9}) {
    for (const int64_t voxels : {8200, 8201}) {
      const DenseProblem p =
          draw_dense(2, classes, voxels, false, LogitsType::kFloat32, LabelType::kUInt8);
      const Result first = run(p);
      for (const Order order : {Order::kDescending, Order::kShuffled}) {
        emulated_cuda::set_schedule(order, 5);
        CHECK(run(p) == first);
      }
      emulated_cuda::set_schedule(Order::kAscending);
      CHECK(run(p, Gradient::kInPlace) == first);
    }
  }
}

void float64_is_refused() {
  DenseProblem p = draw_dense(1, 3, 64, false, LogitsType::kFloat32, LabelType::kUInt8);
  p.options.logits_type = LogitsType::kFloat64;
  const Buffer workspace(tomolift::voxel_cross_entropy_cuda_workspace(p.shape));
  tomolift::DenseBuffers buffers{};
  buffers.logits = p.logits.data();
  buffers.labels = p.labels.data();
  buffers.workspace = workspace.data();
  const int error = tomolift::voxel_cross_entropy_cuda(p.shape, p.options, buffers, nullptr);
  CHECK(error == cudaErrorInvalidValue);
}

}  // namespace

int main() {
  every_type_layout_and_class_count_agrees();
  every_label_type_agrees_in_every_logits_type();
  sizes_around_a_tile_and_single_voxels_agree();
  addresses_off_16_bytes_agree();
  options_agree();
  a_scaled_float16_gradient_survives();
  labels_out_of_range_are_left_out_and_named();
  no_counter_overflows_where_all_voxels_are_alike();
  an_ignore_index_beyond_the_labels_type_matches_nothing();
  numbers_that_are_not_finite_agree();
  ties_go_to_the_first_class();
  a_loss_of_nothing_is_nan_and_its_gradient_zero();
  a_known_denominator_is_taken_as_it_is();
  neither_order_nor_place_changes_a_bit();
  float64_is_refused();
  return 0;
}
