// The up-sampled op for up to eight classes, in registers: per column vector, the values and the
// gradients of two low-resolution rows stay there over all output rows between them. Built once per
// instruction set into namespace TOMOLIFT_ISA.
#include "upsampled_cross_entropy_lanes.h"

#include "confusion_bytes.h"
#include "labels.h"
#include "softmax_lanes.h"

namespace tomolift {
namespace {

// Output indices [begin, end) of one axis whose lower neighbour is the same.
struct Span {
  int64_t begin;
  int64_t end;
};

// The first output index whose lower neighbour is not below `lower`: they ascend.
inline int64_t first_of(const AxisTable& axis, int64_t size, int64_t lower) {
  int64_t begin = 0;
  while (begin < size) {
    const int64_t middle = begin + (size - begin) / 2;
    if (axis.lower[middle] < lower) {
      begin = middle + 1;
    } else {
      size = middle;
    }
  }
  return begin;
}

inline Span span_of(const AxisTable& axis, int64_t size, int64_t lower) {
  return {first_of(axis, size, lower), first_of(axis, size, lower + 1)};
}

template <int kClasses, bool kPlain>
class LaneUnit {
 public:
  LaneUnit(const UpsampledJob& job, int64_t unit, int worker)
      : job_(job),
        shape_(job.shape),
        terms_(terms_of<float>(job.table)),
        tally_(job.tallies[worker]),
        scratch_(*static_cast<LaneRowScratch*>(job.scratch[worker])),
        width_(padded_width(job.shape)),
        unit_(unit),
        low_slice_(unit / job.bands % job.shape.low_size[0]),
        sample_(unit / job.bands / job.shape.low_size[0]),
        first_low_row_(unit % job.bands * kLaneBandRows) {
    up_ = reinterpret_cast<float*>(&scratch_ + 1);
    gathered_ = up_ + 4 * kClasses * width_;
    low_row_ = gathered_ + 4 * kClasses * width_;
    partial_ = static_cast<float*>(job.gradient_partials);
    if (partial_ != nullptr) partial_ += unit * lane_partial_floats(shape_);
  }

  void run() {
    if (partial_ != nullptr) {
      std::memset(partial_, 0, lane_partial_floats(shape_) * sizeof(float));
    }
    slices_ = span_of(job_.axes[0], shape_.size[0], low_slice_);
    // in the last cell, and in an image, there is no slice above
    flat_ = slices_.begin < slices_.end && job_.axes[0].upper[slices_.begin] == low_slice_;
    double loss = 0.0;
    const int64_t left = shape_.low_size[1] - first_low_row_;
    for (int64_t r = 0; r < (left < kLaneBandRows ? left : kLaneBandRows); ++r) {
      const Span rows = span_of(job_.axes[1], shape_.size[1], first_low_row_ + r);
      if (rows.begin == rows.end || slices_.begin == slices_.end) continue;
      const int64_t upper = job_.axes[1].upper[rows.begin] - first_low_row_;
      hold_row(r);
      hold_row(upper);
      for (int64_t x = 0; x < shape_.size[2]; x += kLaneColumns) {
        const int64_t n = shape_.size[2] - x < kLaneColumns ? shape_.size[2] - x : kLaneColumns;
        for (int64_t slice = slices_.begin; slice < slices_.end; ++slice) {
          for (int64_t row = rows.begin; row < rows.end; row += kLaneRows) {
            const int64_t end = rows.end < row + kLaneRows ? rows.end : row + kLaneRows;
            loss += run_rows(slice, {row, end}, x, n, int(r & 1), int(upper & 1));
          }
        }
      }
    }
    release_slot(0);
    release_slot(1);
    job_.loss_partials[unit_] = loss;
  }

 private:
  // Slot: which of the two rows; side: 0 the slice below, 1 the one above.
  float* up_row(int slot, int side, int64_t c) {
    return up_ + ((slot * 2 + side) * kClasses + c) * width_;
  }
  float* gathered_row(int slot, int side, int64_t c) {
    return gathered_ + ((slot * 2 + side) * kClasses + c) * width_;
  }

  // Makes slot r % 2 hold row r of both slices, handing on the gradients of what it held before.
  void hold_row(int64_t r) {
    const int slot = int(r & 1);
    if (held_[slot] == r) return;
    release_slot(slot);
    held_[slot] = r;
    for (int side = 0; side < (flat_ ? 1 : 2); ++side) {
      for (int64_t c = 0; c < kClasses; ++c) {
        load_row(c, low_slice_ + side, first_low_row_ + r);
        widen_row(up_row(slot, side, c));
        if (partial_ == nullptr) continue;
        std::memset(gathered_row(slot, side, c), 0, width_ * sizeof(float));
      }
    }
  }

  // A row of the logits as floats.
  void load_row(int64_t c, int64_t slice, int64_t row) {
    const int64_t offset = sample_ * shape_.stride_batch + c * shape_.stride_class +
                           slice * shape_.stride_axis[0] + row * shape_.stride_axis[1];
    switch (job_.options.logits_type) {
      case LogitsType::kFloat32:
        return load_row_of<float>(offset);
      case LogitsType::kBFloat16:
        return load_row_of<BFloat16>(offset);
      case LogitsType::kFloat16:
        return load_row_of<Float16>(offset);
      case LogitsType::kFloat64:
        return;  // upsampled_unit's
    }
  }

  template <typename Element>
  void load_row_of(int64_t offset) {
    const Element* row = static_cast<const Element*>(job_.buffers.low_logits) + offset;
    const int64_t stride = shape_.stride_axis[2];
    for (int64_t x = 0; x < shape_.low_size[2]; ++x) low_row_[x] = to_real(row[x * stride]);
  }

  // The interpolation along W. Where the neighbours of a whole vector of columns lie within one
  // vector of the row, they are picked from it.
  void widen_row(float* out) {
    const AxisTable& axis = job_.axes[2];
    const int64_t size = shape_.size[2];
    int64_t x = 0;
    for (; x + kLanes <= size; x += kLanes) {
      const int32_t base = axis.lower[x];
      if (axis.upper[x + kLanes - 1] - base >= kLanes) break;
      const Floats share = load(axis.weight + x);
      const Ints first = all_lanes(base);
      const Floats lower = pick(low_row_ + base, load_ints(axis.lower + x) - first);
      const Floats upper = pick(low_row_ + base, load_ints(axis.upper + x) - first);
      store(fused(share, upper, (all_lanes(1.0f) - share) * lower), out + x);
    }
    for (; x < size; ++x) {
      const float share = axis.weight[x];
      out[x] = (1 - share) * low_row_[axis.lower[x]] + share * low_row_[axis.upper[x]];
    }
    for (; x < width_; ++x) out[x] = 0.0f;
  }

  // The adjoint of the interpolation along W: the slot's gradients onto the low-resolution rows.
  // Columns with the same neighbours are summed before they are added to memory.
  void release_slot(int slot) {
    const int64_t r = held_[slot];
    if (r < 0 || partial_ == nullptr) return;
    const AxisTable& axis = job_.axes[2];
    for (int side = 0; side < (flat_ ? 1 : 2); ++side) {
      float* out = partial_ + (side * kClasses * (kLaneBandRows + 1) + r) * shape_.low_size[2];
      const int64_t class_stride = (kLaneBandRows + 1) * shape_.low_size[2];
      for (int64_t begin = 0, end = 0; begin < shape_.size[2]; begin = end) {
        const int32_t lower = axis.lower[begin];
        float below[kClasses] = {};
        float above[kClasses] = {};
        for (end = begin; end < shape_.size[2] && axis.lower[end] == lower; ++end) {
          const float share = axis.weight[end];
          for (int64_t c = 0; c < kClasses; ++c) {
            const float g = gathered_row(slot, side, c)[end];
            below[c] += (1 - share) * g;
            above[c] += share * g;
          }
        }
        for (int64_t c = 0; c < kClasses; ++c) {
          out[c * class_stride + lower] += below[c];
          out[c * class_stride + axis.upper[begin]] += above[c];
        }
      }
    }
  }

  // Some output rows of one slice between the same two low-resolution rows, n columns from x on.
  double run_rows(int64_t slice, Span rows, int64_t x, int64_t n, int below, int above) {
    if (job_.buffers.predictions != nullptr) {
      predict(slice, rows, x, n, below, above);
      return 0.0;
    }
    for (int64_t row = rows.begin; row < rows.end; ++row) {
      uint8_t* truth = scratch_.truth + (row - rows.begin) * kLaneRowBytes;
      read_labels(job_.buffers.labels, position(slice, row, x), n, kClasses, job_.options, truth,
                  tally_.fault);
      std::memset(truth + n, 255, kLanes);
    }
    const double loss = partial_ != nullptr ? run_columns<true>(slice, rows, x, n, below, above)
                                            : run_columns<false>(slice, rows, x, n, below, above);
    if (job_.buffers.confusion == nullptr) return loss;
    for (int64_t row = 0; row < rows.end - rows.begin; ++row) {
      count_confusion_bytes<kClasses>(n, scratch_.truth + row * kLaneRowBytes,
                                      scratch_.prediction + row * kLaneRowBytes, tally_.confusion);
    }
    return loss;
  }

  // Row `slot` of the slice, interpolated along D.
  Floats row_of(int slot, int64_t c, int64_t x, Floats share) {
    const Floats lower = load(up_row(slot, 0, c) + x);
    if (flat_) return lower;
    return fused(share, load(up_row(slot, 1, c) + x), (all_lanes(1.0f) - share) * lower);
  }

  // The adjoint of row_of.
  void gather_row(int slot, int64_t c, int64_t x, Floats share, Floats gradient) {
    float* lower = gathered_row(slot, 0, c) + x;
    if (flat_) return store(load(lower) + gradient, lower);
    store(fused(all_lanes(1.0f) - share, gradient, load(lower)), lower);
    float* upper = gathered_row(slot, 1, c) + x;
    store(fused(share, gradient, load(upper)), upper);
  }

  template <bool kGradient>
  double run_columns(int64_t slice, Span rows, int64_t x, int64_t n, int below, int above) {
    const bool per_voxel_loss = job_.options.reduction == Reduction::kNone;
    const float* weight = job_.axes[1].weight;
    const float* voxel_scale = nullptr;
    if (job_.buffers.grad_output_per_voxel) {
      voxel_scale = static_cast<const float*>(job_.buffers.grad_output);
    }
    LaneScale scale{all_lanes(float(job_.voxel_scale)),
                    voxel_scale != nullptr || !std::isfinite(job_.voxel_scale)};
    const Floats slice_share = all_lanes(job_.axes[0].weight[slice]);
    const LaneTerms<kClasses> terms = terms_;  // a copy that no store can change
    LaneLoss<kClasses, kPlain> losses;
    LaneSum sum;
    for (int64_t i = 0; i < n; i += kLanes) {
      // 1 load
      Floats lower[kClasses], upper[kClasses], lower_sum[kClasses], upper_sum[kClasses];
#pragma GCC unroll 8
      for (int c = 0; c < kClasses; ++c) {
        lower[c] = row_of(below, c, x + i, slice_share);
        upper[c] = row_of(above, c, x + i, slice_share);
        lower_sum[c] = all_lanes(0.0f);
        upper_sum[c] = all_lanes(0.0f);
      }
      for (int64_t row = rows.begin; row < rows.end; ++row) {
        // 2 compute
        const Floats share = all_lanes(weight[row]);
        const Floats rest = all_lanes(1.0f) - share;
        Floats z[kClasses];
#pragma GCC unroll 8
        for (int c = 0; c < kClasses; ++c) z[c] = fused(share, upper[c], rest * lower[c]);
        const int64_t scratch_offset = (row - rows.begin) * kLaneRowBytes + i;
        const Ints truth = load_ints(scratch_.truth + scratch_offset);
        const LaneSoftmax<kClasses> s = softmax_lanes<kClasses, kPlain>(z, truth, terms);
        store(s.prediction, scratch_.prediction + scratch_offset);
        losses.add(s, truth, terms);
        if constexpr (kGradient) {
          if (voxel_scale != nullptr) {
            scale.value = load_first(voxel_scale + position(slice, row, x + i), n - i);
          }
          lane_gradients<kClasses, kPlain>(s, truth, terms, scale, [&](int c, Floats g) {
            lower_sum[c] = fused(rest, g, lower_sum[c]);
            upper_sum[c] = fused(share, g, upper_sum[c]);
          });
        }
        if (!per_voxel_loss || job_.buffers.loss == nullptr) continue;
        float* out = static_cast<float*>(job_.buffers.loss) + position(slice, row, x + i);
        store_first(losses.take(terms), out, n - i);
      }
      // 3 reduce
      if (!per_voxel_loss) sum.add(losses.take(terms));
      if constexpr (kGradient) {
#pragma GCC unroll 8
        for (int c = 0; c < kClasses; ++c) {
          gather_row(below, c, x + i, slice_share, lower_sum[c]);
          gather_row(above, c, x + i, slice_share, upper_sum[c]);
        }
      }
    }
    return sum.total();
  }

  void predict(int64_t slice, Span rows, int64_t x, int64_t n, int below, int above) {
    const Floats slice_share = all_lanes(job_.axes[0].weight[slice]);
    for (int64_t i = 0; i < n; i += kLanes) {
      Floats lower[kClasses], upper[kClasses];
#pragma GCC unroll 8
      for (int c = 0; c < kClasses; ++c) {
        lower[c] = row_of(below, c, x + i, slice_share);
        upper[c] = row_of(above, c, x + i, slice_share);
      }
      for (int64_t row = rows.begin; row < rows.end; ++row) {
        const Floats share = all_lanes(job_.axes[1].weight[row]);
        const Floats rest = all_lanes(1 - job_.axes[1].weight[row]);
        Floats z[kClasses];
#pragma GCC unroll 8
        for (int c = 0; c < kClasses; ++c) z[c] = fused(share, upper[c], rest * lower[c]);
        uint8_t* predicted = scratch_.prediction + (row - rows.begin) * kLaneRowBytes;
        store(predict_lanes(z), predicted + i);
      }
    }
    for (int64_t row = rows.begin; row < rows.end; ++row) {
      std::memcpy(job_.buffers.predictions + position(slice, row, x),
                  scratch_.prediction + (row - rows.begin) * kLaneRowBytes, size_t(n));
    }
  }

  // Of an output voxel, among all.
  int64_t position(int64_t slice, int64_t row, int64_t x) const {
    return ((sample_ * shape_.size[0] + slice) * shape_.size[1] + row) * shape_.size[2] + x;
  }

  const UpsampledJob& job_;
  const UpsampledShape& shape_;
  const LaneTerms<kClasses> terms_;
  Tally& tally_;
  LaneRowScratch& scratch_;
  int64_t width_;
  int64_t unit_;
  int64_t low_slice_;
  int64_t sample_;
  int64_t first_low_row_;
  Span slices_{0, 0};
  bool flat_ = true;
  float* up_;        // [2 rows, 2 slices, C, width_], interpolated along W
  float* gathered_;  // the same, their gradients
  float* low_row_;   // [w]
  float* partial_;   // [2 slices, C, kLaneBandRows + 1, w], this unit's share of the gradient
  int64_t held_[2] = {-1, -1};
};

template <int kClasses>
void run_classes(const UpsampledJob& job, int64_t unit, int worker) {
  if (job.table.plain) return LaneUnit<kClasses, true>(job, unit, worker).run();
  LaneUnit<kClasses, false>(job, unit, worker).run();
}

// One row of the gradient, from the at most four units that have a share in it.
void gather_low_row(const UpsampledJob& job, int64_t task, int64_t row, float* out) {
  const UpsampledShape& shape = job.shape;
  const int64_t slice = task % shape.low_size[0];
  const int64_t c = task / shape.low_size[0] % shape.classes;
  const int64_t sample = task / shape.low_size[0] / shape.classes;
  const int64_t width = shape.low_size[2];
  const int64_t band = row / kLaneBandRows;
  const int64_t local = row % kLaneBandRows;
  const float* grad_output = static_cast<const float*>(job.buffers.grad_output);
  const bool scaled = grad_output != nullptr && !job.buffers.grad_output_per_voxel;
  const double scale = job.gradient_scale * (scaled ? double(grad_output[0]) : 1.0);
  const float* shares[4];
  int count = 0;
  for (int64_t side = 0; side < 2 && side <= slice; ++side) {
    const int64_t units = (sample * shape.low_size[0] + slice - side) * job.bands;
    const float* partials = static_cast<const float*>(job.gradient_partials);
    const auto share = [&](int64_t of_band, int64_t of_row) {
      return partials + (units + of_band) * lane_partial_floats(shape) +
             ((side * shape.classes + c) * (kLaneBandRows + 1) + of_row) * width;
    };
    shares[count++] = share(band, local);
    if (local == 0 && band > 0) shares[count++] = share(band - 1, kLaneBandRows);
  }
  for (int64_t x = 0; x < width; ++x) {
    double sum = 0.0;
    for (int i = 0; i < count; ++i) sum += double(shares[i][x]);
    // where nothing took part, not even an infinite grad_output brings a NaN
    out[x] = sum == 0.0 ? 0.0f : float(sum * scale);
  }
}

}  // namespace

namespace TOMOLIFT_ISA {

void upsampled_unit_lanes(void* context, int64_t unit, int worker) {
  const UpsampledJob& job = *static_cast<const UpsampledJob*>(context);
  switch (job.shape.classes) {
    case 1:
      return run_classes<1>(job, unit, worker);
    case 2:
      return run_classes<2>(job, unit, worker);
    case 3:
      return run_classes<3>(job, unit, worker);
    case 4:
      return run_classes<4>(job, unit, worker);
    case 5:
      return run_classes<5>(job, unit, worker);
    case 6:
      return run_classes<6>(job, unit, worker);
    case 7:
      return run_classes<7>(job, unit, worker);
    case 8:
      return run_classes<8>(job, unit, worker);
  }
}

// The tasks are numbered as the gradient's planes lie in memory: (n, c, d).
void upsampled_gather_lanes(void* context, int64_t task, int) {
  const UpsampledJob& job = *static_cast<const UpsampledJob*>(context);
  const int64_t rows = job.shape.low_size[1];
  float* out = static_cast<float*>(job.buffers.gradient) + task * rows * job.shape.low_size[2];
  for (int64_t row = 0; row < rows; ++row) {
    gather_low_row(job, task, row, out + row * job.shape.low_size[2]);
  }
}

}  // namespace TOMOLIFT_ISA
}  // namespace tomolift
