// The up-sampled op, separable axis by axis, for any number of classes and for float64: a unit of
// work is one band of rows of one output slice. Built once per instruction set into namespace
// TOMOLIFT_ISA.
#include "labels.h"
#include "softmax_block.h"
#include "upsampled_cross_entropy_job.h"
#include "upsampled_depth.h"

namespace tomolift {
namespace {

// The scratch of one worker, cut into its arrays.
template <typename Real>
struct UnitScratch {
  BlockScratch<Real>* block;
  Real* z;         // [C, kBlock]
  Real* e;         // [C, kBlock]
  Real* plane;     // [C, kBandRows + 1, w], low-resolution rows interpolated along D
  Real* up;        // [2, C, W], two neighbouring rows interpolated along W
  Real* gathered;  // [2, C, W], gradients of those rows
  double* sums;    // [w]

  UnitScratch(void* memory, const UpsampledShape& shape) {
    const int64_t classes = shape.classes;
    block = static_cast<BlockScratch<Real>*>(memory);
    z = reinterpret_cast<Real*>(block + 1);
    e = z + classes * kBlock;
    sums = reinterpret_cast<double*>(e + classes * kBlock);
    plane = reinterpret_cast<Real*>(sums + shape.low_size[2]);
    up = plane + classes * (kBandRows + 1) * shape.low_size[2];
    gathered = up + 2 * classes * shape.size[2];
  }
};

// One unit's position and the arrays it works on.
template <typename Element, typename Real>
class Unit {
 public:
  Unit(const UpsampledJob& job, int64_t unit, int worker)
      : job_(job),
        shape_(job.shape),
        scratch_(job.scratch[worker], job.shape),
        tally_(job.tallies[worker]),
        unit_(unit),
        slice_(unit / job.bands % job.shape.size[0]),
        sample_(unit / job.bands / job.shape.size[0]),
        first_low_row_(unit % job.bands * kBandRows) {
    const int64_t left = shape_.low_size[1] - first_low_row_;
    owned_rows_ = left < kBandRows ? left : kBandRows;
    rows_ = left < kBandRows + 1 ? left : kBandRows + 1;  // with the next band's first
    partial_ = static_cast<Real*>(job.gradient_partials);
    if (partial_ != nullptr) {
      partial_ += unit * shape_.classes * (kBandRows + 1) * shape_.low_size[2];
    }
  }

  void run() {
    interpolate_depth<Element>(job_, sample_, slice_, first_low_row_, rows_, scratch_.plane);
    if (partial_ != nullptr) {
      const int64_t count = shape_.classes * (kBandRows + 1) * shape_.low_size[2];
      for (int64_t i = 0; i < count; ++i) partial_[i] = Real(0);
    }
    const AxisTable& axis = job_.axes[1];
    double loss = 0.0;
    for (int64_t row = 0; row < shape_.size[1]; ++row) {
      const int64_t lower = axis.lower[row] - first_low_row_;
      if (lower < 0 || lower >= owned_rows_) continue;
      const int64_t upper = axis.upper[row] - first_low_row_;
      hold_row(lower);
      hold_row(upper);
      loss += run_row(row, lower & 1, upper & 1, weights_of<Real>(axis)[row]);
    }
    release_slot(0);
    release_slot(1);
    job_.loss_partials[unit_] = loss;
  }

 private:
  // Makes slot r % 2 hold row r, handing on the gradient of the row that it held before.
  void hold_row(int64_t r) {
    const int slot = int(r & 1);
    if (held_[slot] == r) return;
    release_slot(slot);
    held_[slot] = r;
    const AxisTable& axis = job_.axes[2];
    const Real* __restrict weight = weights_of<Real>(axis);
    for (int64_t c = 0; c < shape_.classes; ++c) {
      const Real* __restrict low = plane_row(c, r);
      Real* __restrict out = slot_row(scratch_.up, slot, c);
      for (int64_t x = 0; x < shape_.size[2]; ++x) {
        out[x] = (1 - weight[x]) * low[axis.lower[x]] + weight[x] * low[axis.upper[x]];
      }
      if (partial_ == nullptr) continue;
      Real* __restrict gathered = slot_row(scratch_.gathered, slot, c);
      for (int64_t x = 0; x < shape_.size[2]; ++x) gathered[x] = Real(0);
    }
  }

  // The adjoint of the interpolation along W: the slot's gradients onto the low-resolution row.
  void release_slot(int slot) {
    const int64_t r = held_[slot];
    if (r < 0 || partial_ == nullptr) return;
    const AxisTable& axis = job_.axes[2];
    const Real* weight = weights_of<Real>(axis);
    for (int64_t c = 0; c < shape_.classes; ++c) {
      const Real* gathered = slot_row(scratch_.gathered, slot, c);
      Real* out = partial_ + (c * (kBandRows + 1) + r) * shape_.low_size[2];
      for (int64_t x = 0; x < shape_.size[2]; ++x) {
        out[axis.lower[x]] += (1 - weight[x]) * gathered[x];
        out[axis.upper[x]] += weight[x] * gathered[x];
      }
    }
  }

  double run_row(int64_t row, int64_t below, int64_t above, Real weight) {
    const int64_t row_position =
        ((sample_ * shape_.size[0] + slice_) * shape_.size[1] + row) * shape_.size[2];
    double loss = 0.0;
    for (int64_t x = 0; x < shape_.size[2]; x += kBlock) {
      const int64_t n = shape_.size[2] - x < kBlock ? shape_.size[2] - x : kBlock;
      interpolate_height(x, n, below, above, weight);
      loss += job_.buffers.predictions == nullptr ? run_block(row_position + x, n)
                                                  : predict_block(row_position + x, n);
      if (partial_ != nullptr) spread_height(x, n, below, above, weight);
    }
    return loss;
  }

  void interpolate_height(int64_t x, int64_t n, int64_t below, int64_t above, Real weight) {
    for (int64_t c = 0; c < shape_.classes; ++c) {
      const Real* __restrict lower = slot_row(scratch_.up, below, c) + x;
      const Real* __restrict upper = slot_row(scratch_.up, above, c) + x;
      Real* __restrict z = scratch_.z + c * kBlock;
      for (int64_t i = 0; i < n; ++i) z[i] = (1 - weight) * lower[i] + weight * upper[i];
    }
  }

  void spread_height(int64_t x, int64_t n, int64_t below, int64_t above, Real weight) {
    for (int64_t c = 0; c < shape_.classes; ++c) {
      const Real* __restrict g = scratch_.e + c * kBlock;
      Real* __restrict lower = slot_row(scratch_.gathered, below, c) + x;
      for (int64_t i = 0; i < n; ++i) lower[i] += (1 - weight) * g[i];
      Real* __restrict upper = slot_row(scratch_.gathered, above, c) + x;
      for (int64_t i = 0; i < n; ++i) upper[i] += weight * g[i];
    }
  }

  double run_block(int64_t position, int64_t n) {
    BlockScratch<Real>& s = *scratch_.block;
    read_labels(job_.buffers.labels, position, n, shape_.classes, job_.options, s.truth,
                tally_.fault);
    Real* g = partial_ == nullptr ? nullptr : scratch_.e;
    if (g != nullptr) {
      const bool per_voxel = job_.buffers.grad_output_per_voxel;
      const Real* grad_output = static_cast<const Real*>(job_.buffers.grad_output);
      const Real scale = Real(job_.voxel_scale);
      for (int64_t i = 0; i < n; ++i) s.scale[i] = per_voxel ? grad_output[position + i] : scale;
    }
    softmax_block(scratch_.z, kBlock, shape_.classes, n, terms_of<Real>(job_.table),
                  job_.table.plain, scratch_.e, g, kBlock, s);
    if (job_.buffers.confusion != nullptr) {
      count_confusion(shape_.classes, n, s, tally_.confusion);
    }
    if (job_.buffers.loss == nullptr) return 0.0;
    if (job_.options.reduction != Reduction::kNone) return sum_losses(s.loss, n);
    Real* out = static_cast<Real*>(job_.buffers.loss) + position;
    for (int64_t i = 0; i < n; ++i) out[i] = s.loss[i];
    return 0.0;
  }

  double predict_block(int64_t position, int64_t n) {
    BlockScratch<Real>& s = *scratch_.block;
    find_maximum(scratch_.z, kBlock, shape_.classes, n, s);
    uint8_t* __restrict out = job_.buffers.predictions + position;
    for (int64_t i = 0; i < n; ++i) out[i] = uint8_t(s.prediction[i]);
    return 0.0;
  }

  Real* plane_row(int64_t c, int64_t r) {
    return scratch_.plane + (c * (kBandRows + 1) + r) * shape_.low_size[2];
  }
  Real* slot_row(Real* rows, int64_t slot, int64_t c) {
    return rows + (slot * shape_.classes + c) * shape_.size[2];
  }

  const UpsampledJob& job_;
  const UpsampledShape& shape_;
  UnitScratch<Real> scratch_;
  Tally& tally_;
  int64_t unit_;
  int64_t slice_;
  int64_t sample_;
  int64_t first_low_row_;
  int64_t owned_rows_;
  int64_t rows_;
  Real* partial_;
  int64_t held_[2] = {-1, -1};
};

// The adjoint along D: plane (n, c, d) of the gradient from every slice that has d as a neighbour.
template <typename Real>
void gather_plane(const UpsampledJob& job, int64_t task, int worker) {
  const UpsampledShape& shape = job.shape;
  const int64_t depth = task % shape.low_size[0];
  const int64_t c = task / shape.low_size[0] % shape.classes;
  const int64_t sample = task / shape.low_size[0] / shape.classes;
  const int64_t width = shape.low_size[2];
  const int64_t unit_reals = shape.classes * (kBandRows + 1) * width;
  const Real* partials = static_cast<const Real*>(job.gradient_partials);
  const Real* weight = weights_of<Real>(job.axes[0]);
  double* sums = UnitScratch<Real>(job.scratch[worker], shape).sums;
  const Real* grad_output = static_cast<const Real*>(job.buffers.grad_output);
  const bool scaled = grad_output != nullptr && !job.buffers.grad_output_per_voxel;
  const double scale = job.gradient_scale * (scaled ? double(grad_output[0]) : 1.0);
  // the tasks are numbered as the gradient lies in memory: (n, c, d)
  Real* out = static_cast<Real*>(job.buffers.gradient) + task * shape.low_size[1] * width;
  for (int64_t row = 0; row < shape.low_size[1]; ++row) {
    const int64_t band = row / kBandRows;
    const int64_t local = row % kBandRows;
    for (int64_t x = 0; x < width; ++x) sums[x] = 0.0;
    for (int64_t slice = 0; slice < shape.size[0]; ++slice) {
      const bool is_lower = job.axes[0].lower[slice] == depth;
      const bool is_upper = job.axes[0].upper[slice] == depth;
      if (!is_lower && !is_upper) continue;
      const double share = is_lower ? 1.0 - double(weight[slice]) : double(weight[slice]);
      const Real* unit = partials +
                         ((sample * shape.size[0] + slice) * job.bands + band) * unit_reals +
                         c * (kBandRows + 1) * width;
      const Real* own = unit + local * width;
      for (int64_t x = 0; x < width; ++x) sums[x] += share * double(own[x]);
      if (local != 0 || band == 0) continue;
      const Real* shared = unit - unit_reals + kBandRows * width;  // the band before has it last
      for (int64_t x = 0; x < width; ++x) sums[x] += share * double(shared[x]);
    }
    // where nothing took part, not even an infinite grad_output brings a NaN
    for (int64_t x = 0; x < width; ++x) {
      out[row * width + x] = sums[x] == 0.0 ? Real(0) : Real(sums[x] * scale);
    }
  }
}

}  // namespace

namespace TOMOLIFT_ISA {

void upsampled_unit(void* context, int64_t unit, int worker) {
  const UpsampledJob& job = *static_cast<const UpsampledJob*>(context);
  switch (job.options.logits_type) {
    case LogitsType::kFloat32:
      return Unit<float, float>(job, unit, worker).run();
    case LogitsType::kBFloat16:
      return Unit<BFloat16, float>(job, unit, worker).run();
    case LogitsType::kFloat16:
      return Unit<Float16, float>(job, unit, worker).run();
    case LogitsType::kFloat64:
      return Unit<double, double>(job, unit, worker).run();
  }
}

void upsampled_gather(void* context, int64_t task, int worker) {
  const UpsampledJob& job = *static_cast<const UpsampledJob*>(context);
  if (job.options.logits_type == LogitsType::kFloat64)
    return gather_plane<double>(job, task, worker);
  gather_plane<float>(job, task, worker);
}

}  // namespace TOMOLIFT_ISA
}  // namespace tomolift
