#include "tomolift/voxel_cross_entropy.h"

#include "softmax_block.h"
#include "voxel_cross_entropy_job.h"
#include "voxel_cross_entropy_lanes.h"

namespace tomolift {
namespace {

int64_t tiles_of(const DenseShape& shape) { return (shape.voxels + kDenseTile - 1) / kDenseTile; }

// The same walk measures the workspace (null base) and hands it out.
void lay_out(Arena& arena, const DenseShape& shape, int threads, DenseJob& job) {
  job.table = take_target_table(arena, shape.classes);
  job.loss_partials = arena.take<double>(shape.batch * tiles_of(shape));
  job.tallies = arena.take<Tally>(threads);
  job.scratch = arena.take<void*>(threads);
  const int64_t block = sizeof(BlockScratch<double>) + 2 * shape.classes * kBlock * sizeof(double);
  const int64_t scratch = block > int64_t(sizeof(LaneScratch)) ? block : sizeof(LaneScratch);
  for (int worker = 0; worker < threads; ++worker) {
    const Tally tally = take_tally(arena, shape.classes);
    char* piece = arena.take<char>(scratch);
    if (piece == nullptr) continue;
    job.tallies[worker] = tally;
    job.scratch[worker] = piece;
    clear_tally(job.tallies[worker], shape.classes);
  }
}

int64_t element_bytes(LogitsType type) {
  switch (type) {
    case LogitsType::kFloat64:
      return 8;
    case LogitsType::kFloat32:
      return 4;
    case LogitsType::kBFloat16:
    case LogitsType::kFloat16:
      break;
  }
  return 2;
}

bool in_lanes(const DenseJob& job) {
  return job.shape.classes <= kMostLaneClasses && job.options.logits_type != LogitsType::kFloat64;
}

double count_denominator(DenseJob& job, int threads) {
  const int64_t classes = job.shape.classes;
  const TaskFunction count = in_lanes(job) ? TOMOLIFT_SELECT_KERNEL(dense_count_lanes)
                                           : TOMOLIFT_SELECT_KERNEL(dense_count);
  parallel_for(job.shape.batch * job.tiles_per_sample, threads, count, &job);
  for (int worker = 1; worker < threads; ++worker) {
    for (int64_t c = 0; c < classes; ++c) {
      job.tallies[0].counts[c] += job.tallies[worker].counts[c];
    }
  }
  return weighted_count(job.tallies[0].counts, job.buffers.weight, classes);
}

}  // namespace

int64_t voxel_cross_entropy_cpu_workspace(const DenseShape& shape, int threads) {
  DenseJob job{};
  Arena arena(nullptr);
  lay_out(arena, shape, threads, job);
  return arena.used();
}

void voxel_cross_entropy_cpu(const DenseShape& shape, const CrossEntropyOptions& options,
                             const DenseBuffers& buffers, int threads) {
  DenseJob job{};
  job.shape = shape;
  job.options = options;
  job.buffers = buffers;
  Arena arena(buffers.workspace);
  lay_out(arena, shape, threads, job);
  job.tiles_per_sample = tiles_of(shape);
  fill_target_table(job.table, shape.classes, buffers.weight, options.label_smoothing);

  // 1 the mean's gradient needs its denominator first
  const bool mean = options.reduction == Reduction::kMean;
  double denominator = 1.0;
  if (buffers.known_denominator != nullptr) {
    denominator = *buffers.known_denominator;
  } else if (mean && buffers.gradient != nullptr) {
    denominator = count_denominator(job, threads);
  }
  job.gradient_scale = mean ? mean_of(1.0, denominator) : 1.0;

  // 2 the pass over the logits
  const int64_t tiles = shape.batch * job.tiles_per_sample;
  const int64_t gradient_bytes =
      shape.batch * shape.classes * shape.voxels * element_bytes(options.logits_type);
  job.streamed = gradient_bytes >= kStreamedBytes;
  const TaskFunction run =
      in_lanes(job) ? TOMOLIFT_SELECT_KERNEL(dense_tile_lanes) : TOMOLIFT_SELECT_KERNEL(dense_tile);
  parallel_for(tiles, threads, run, &job);

  // 3 fixed-order sums
  add_tallies(job.tallies, threads, shape.classes, buffers.confusion, buffers.fault);
  if (buffers.confusion != nullptr) {
    denominator = confusion_weight(buffers.confusion, buffers.weight, shape.classes);
  }
  if (buffers.denominator != nullptr) *buffers.denominator = denominator;
  if (buffers.loss != nullptr && options.reduction != Reduction::kNone) {
    write_loss(job.loss_partials, tiles, options.reduction, denominator, options.logits_type,
               buffers.loss);
  }
}

}  // namespace tomolift
