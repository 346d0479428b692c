#include "tomolift/upsampled_cross_entropy.h"

#include "softmax_block.h"
#include "upsampled_cross_entropy_job.h"
#include "upsampled_cross_entropy_lanes.h"

namespace tomolift {
namespace {

bool in_lanes(const UpsampledShape& shape, const CrossEntropyOptions& options) {
  return shape.classes <= kMostLaneClasses && options.logits_type != LogitsType::kFloat64;
}

// How the two paths cut the work into units, and what each needs.
struct Cut {
  int64_t bands;
  int64_t units;
  int64_t partial_bytes;  // of a unit
  int64_t scratch_bytes;  // of a worker
};

Cut cut_lanes(const UpsampledShape& shape) {
  const int64_t bands = lane_bands_of(shape);
  return {bands, shape.batch * shape.low_size[0] * bands,
          lane_partial_floats(shape) * int64_t(sizeof(float)), lane_unit_scratch_bytes(shape)};
}

Cut cut_blocks(const UpsampledShape& shape, const CrossEntropyOptions& options) {
  const int64_t bands = (shape.low_size[1] + kBandRows - 1) / kBandRows;
  const int64_t partial = shape.classes * (kBandRows + 1) * shape.low_size[2];
  const int64_t reals =
      2 * shape.classes * kBlock + shape.low_size[2] + partial + 4 * shape.classes * shape.size[2];
  const bool is_double = options.logits_type == LogitsType::kFloat64;
  return {bands, shape.batch * shape.size[0] * bands,
          partial * int64_t(is_double ? sizeof(double) : sizeof(float)),
          int64_t(sizeof(BlockScratch<double>)) + reals * int64_t(sizeof(double))};
}

Cut cut(const UpsampledShape& shape, const CrossEntropyOptions& options) {
  return in_lanes(shape, options) ? cut_lanes(shape) : cut_blocks(shape, options);
}

// The same walk measures the workspace (null base) and hands it out.
void lay_out(Arena& arena, const UpsampledShape& shape, const Cut& cut, bool want_gradient,
             int threads, UpsampledJob& job) {
  job.table = take_target_table(arena, shape.classes);
  for (int axis = 0; axis < 3; ++axis) {
    job.axes[axis].lower = arena.take<int32_t>(shape.size[axis]);
    job.axes[axis].upper = arena.take<int32_t>(shape.size[axis]);
    job.axes[axis].weight = arena.take<float>(shape.size[axis]);
    job.axes[axis].weight_double = arena.take<double>(shape.size[axis]);
  }
  job.loss_partials = arena.take<double>(cut.units);
  job.gradient_partials = nullptr;
  if (want_gradient) job.gradient_partials = arena.take<char>(cut.units * cut.partial_bytes);
  job.tallies = arena.take<Tally>(threads);
  job.scratch = arena.take<void*>(threads);
  for (int worker = 0; worker < threads; ++worker) {
    const Tally tally = take_tally(arena, shape.classes);
    char* piece = arena.take<char>(cut.scratch_bytes);
    if (piece == nullptr) continue;
    job.tallies[worker] = tally;
    job.scratch[worker] = piece;
    clear_tally(job.tallies[worker], shape.classes);
  }
}

void fill_axis(AxisTable& table, const UpsampledShape& shape, int axis) {
  for (int64_t i = 0; i < shape.size[axis]; ++i) {
    const AxisSample sample =
        sample_axis(shape.sampling, shape.stride[axis], shape.low_size[axis], shape.size[axis], i);
    table.lower[i] = int32_t(sample.lower);
    table.upper[i] = int32_t(sample.upper);
    table.weight[i] = float(sample.weight_upper);
    table.weight_double[i] = sample.weight_upper;
  }
}

}  // namespace

int64_t upsampled_cross_entropy_cpu_workspace(const UpsampledShape& shape,
                                              const CrossEntropyOptions& options,
                                              bool want_gradient, int threads) {
  UpsampledJob job{};
  Arena arena(nullptr);
  lay_out(arena, shape, cut(shape, options), want_gradient, threads, job);
  return arena.used();
}

void upsampled_cross_entropy_cpu(const UpsampledShape& shape, const CrossEntropyOptions& options,
                                 const UpsampledBuffers& buffers, int threads) {
  UpsampledJob job{};
  job.shape = shape;
  job.options = options;
  job.buffers = buffers;
  Arena arena(buffers.workspace);
  const Cut work = cut(shape, options);
  lay_out(arena, shape, work, buffers.gradient != nullptr, threads, job);
  job.bands = work.bands;
  job.voxel_scale = 1.0;
  for (int axis = 0; axis < 3; ++axis) fill_axis(job.axes[axis], shape, axis);
  fill_target_table(job.table, shape.classes, buffers.weight, options.label_smoothing);

  // 1 the pass over the output voxels
  const bool lanes = in_lanes(shape, options);
  const TaskFunction run =
      lanes ? TOMOLIFT_SELECT_KERNEL(upsampled_unit_lanes) : TOMOLIFT_SELECT_KERNEL(upsampled_unit);
  parallel_for(work.units, threads, run, &job);
  if (buffers.predictions != nullptr) return;

  // 2 fixed-order sums
  add_tallies(job.tallies, threads, shape.classes, buffers.confusion, buffers.fault);
  double denominator = 1.0;
  if (buffers.known_denominator != nullptr) denominator = *buffers.known_denominator;
  if (buffers.confusion != nullptr) {
    denominator = confusion_weight(buffers.confusion, buffers.weight, shape.classes);
  }
  if (buffers.denominator != nullptr) *buffers.denominator = denominator;
  if (buffers.loss != nullptr && options.reduction != Reduction::kNone) {
    write_loss(job.loss_partials, work.units, options.reduction, denominator, options.logits_type,
               buffers.loss);
  }

  // 3 the gradient's sum over slices, scaled
  if (buffers.gradient == nullptr) return;
  const bool mean = options.reduction == Reduction::kMean;
  job.gradient_scale = mean ? mean_of(1.0, denominator) : 1.0;
  if (mean && denominator == 0.0) {
    // NaN is for the valid voxels alone (there are some where weights are zero), and the sums no
    // longer tell who took part: once more, with each voxel scaled by itself
    job.voxel_scale = job.gradient_scale;
    job.gradient_scale = 1.0;
    parallel_for(work.units, threads, run, &job);
  }
  const TaskFunction gather = lanes ? TOMOLIFT_SELECT_KERNEL(upsampled_gather_lanes)
                                    : TOMOLIFT_SELECT_KERNEL(upsampled_gather);
  parallel_for(shape.batch * shape.classes * shape.low_size[0], threads, gather, &job);
}

}  // namespace tomolift
