// The dense op over one tile of voxels, for up to eight classes, in registers; built once per
// instruction set into namespace TOMOLIFT_ISA. Float planes are worked on where they lie; other
// types and layouts pass through float planes in the L1 cache.
#include "voxel_cross_entropy_lanes.h"

#include "class_planes.h"
#include "confusion_bytes.h"
#include "labels.h"
#include "softmax_lanes.h"
#include "voxel_cross_entropy_job.h"

namespace tomolift {
namespace {

// One block of class planes: logits in, gradients out, which may be the same memory.
struct Block {
  const float* z;
  float* g;                  // or null
  int64_t stride;            // from class to class
  int64_t n;                 // voxels
  bool streamed;             // g past the caches
  const uint8_t* truth;      // [n], then a vector of 255
  uint8_t* prediction;       // [n] and the rest of a vector
  const float* voxel_scale;  // [n], or null for `scale`
  float scale;
  float* voxel_loss;  // [n], or null
  bool summed;        // whether the losses are summed up
};

// The block is passed by value: what is written through its pointers cannot change it.
template <int kClasses, bool kPlain>
double run_block(Block b, const TargetTerms<float>& target_terms) {
  const LaneTerms<kClasses> terms(target_terms);
  LaneScale scale{all_lanes(b.scale), b.voxel_scale != nullptr || !std::isfinite(b.scale)};
  LaneLoss<kClasses, kPlain> losses;
  LaneSum sum;
  int64_t i = 0;
  for (int round = 1; i < b.n; i += kLanes, ++round) {
    // 1 load
    const int64_t count = b.n - i < kLanes ? b.n - i : kLanes;
    Floats z[kClasses];
#pragma GCC unroll 8
    for (int c = 0; c < kClasses; ++c) z[c] = load_first(b.z + c * b.stride + i, count);
    const Ints truth = load_ints(b.truth + i);
    // 2 compute
    const LaneSoftmax<kClasses> s = softmax_lanes<kClasses, kPlain>(z, truth, terms);
    store(s.prediction, b.prediction + i);
    losses.add(s, truth, terms);
    // 3 store
    if (b.g != nullptr) {
      if (b.voxel_scale != nullptr) scale.value = load_first(b.voxel_scale + i, count);
      const bool streamed = b.streamed && count == kLanes;
      lane_gradients<kClasses, kPlain>(s, truth, terms, scale, [&](int c, Floats g) {
        float* target = b.g + c * b.stride + i;
        streamed ? stream(g, target) : store_first(g, target, count);
      });
    }
    if (b.voxel_loss != nullptr) store_first(losses.take(terms), b.voxel_loss + i, count);
    if (b.summed && round % kProduct == 0) sum.add(losses.take(terms));
  }
  if (b.summed) sum.add(losses.take(terms));
  return sum.total();
}

// Whether rows of this gradient can be written past the caches. Over the logits that pays by whole
// lines alone: half a line written so has to be read again for the other half.
template <typename Element>
bool can_stream(const DenseJob& job) {
  const int64_t vector_bytes = kLanes * int64_t(sizeof(Element));
  const uintptr_t address = reinterpret_cast<uintptr_t>(job.buffers.gradient);
  const int64_t strides = job.shape.stride_class | job.shape.stride_batch;
  const bool aligned =
      (address | uintptr_t(strides * int64_t(sizeof(Element)))) % uintptr_t(vector_bytes) == 0;
  const bool whole_lines = vector_bytes == 64 || job.buffers.gradient != job.buffers.logits;
  return job.streamed && job.shape.stride_voxel == 1 && aligned && whole_lines;
}

template <typename Element>
void load_block(const DenseJob& job, int64_t offset, int64_t n, float* planes) {
  const DenseShape& shape = job.shape;
  const Element* logits = static_cast<const Element*>(job.buffers.logits) + offset;
  if (shape.stride_voxel != 1) return load_planes(shape, logits, n, planes, kLaneBlock);
  for (int64_t c = 0; c < shape.classes; ++c) {
    const Element* row = logits + c * shape.stride_class;
    for (int64_t i = 0; i < n; i += kLanes) {
      store(load_first(row + i, n - i), planes + c * kLaneBlock + i);
    }
  }
}

template <typename Element>
void store_block(const DenseJob& job, const float* planes, int64_t n, int64_t offset) {
  const DenseShape& shape = job.shape;
  Element* gradient = static_cast<Element*>(job.buffers.gradient) + offset;
  if (shape.stride_voxel != 1) return store_planes(shape, planes, kLaneBlock, n, gradient);
  const bool streamed = can_stream<Element>(job);
  for (int64_t c = 0; c < shape.classes; ++c) {
    Element* row = gradient + c * shape.stride_class;
    for (int64_t i = 0; i < n; i += kLanes) {
      const Floats g = load(planes + c * kLaneBlock + i);
      streamed&& n - i >= kLanes ? stream(g, row + i) : store_first(g, row + i, n - i);
    }
  }
}

void load_block(const DenseJob& job, int64_t offset, int64_t n, float* planes) {
  switch (job.options.logits_type) {
    case LogitsType::kFloat32:
      return load_block<float>(job, offset, n, planes);
    case LogitsType::kBFloat16:
      return load_block<BFloat16>(job, offset, n, planes);
    case LogitsType::kFloat16:
      return load_block<Float16>(job, offset, n, planes);
    case LogitsType::kFloat64:
      return;  // dense_tile's
  }
}

void store_block(const DenseJob& job, const float* planes, int64_t n, int64_t offset) {
  switch (job.options.logits_type) {
    case LogitsType::kFloat32:
      return store_block<float>(job, planes, n, offset);
    case LogitsType::kBFloat16:
      return store_block<BFloat16>(job, planes, n, offset);
    case LogitsType::kFloat16:
      return store_block<Float16>(job, planes, n, offset);
    case LogitsType::kFloat64:
      return;  // dense_tile's
  }
}

template <int kClasses, bool kPlain>
void run_tile(const DenseJob& job, int64_t tile, int worker) {
  const DenseShape& shape = job.shape;
  const TileRange range = tile_range(job, tile);
  Tally& tally = job.tallies[worker];
  LaneScratch& s = *static_cast<LaneScratch*>(job.scratch[worker]);
  const bool direct = job.options.logits_type == LogitsType::kFloat32 && shape.stride_voxel == 1;
  const bool wanted = job.buffers.gradient != nullptr;
  const bool streamed = direct && wanted && can_stream<float>(job);
  const bool per_voxel_loss = job.options.reduction == Reduction::kNone;
  const float* grad_output = static_cast<const float*>(job.buffers.grad_output);
  const bool scaled = grad_output != nullptr && !job.buffers.grad_output_per_voxel;
  Block block{};
  block.streamed = streamed;
  block.truth = s.truth;
  block.prediction = s.prediction;
  block.scale = float((scaled ? double(grad_output[0]) : 1.0) * job.gradient_scale);
  block.summed = !per_voxel_loss && job.buffers.loss != nullptr;
  double loss = 0.0;
  for (int64_t v = range.begin; v < range.end; v += kLaneBlock) {
    const int64_t n = range.end - v < kLaneBlock ? range.end - v : kLaneBlock;
    const int64_t position = range.sample * shape.voxels + v;
    const int64_t offset = range.sample * shape.stride_batch + v * shape.stride_voxel;
    read_labels(job.buffers.labels, position, n, shape.classes, job.options, s.truth, tally.fault);
    std::memset(s.truth + n, 255, kLanes);
    block.n = n;
    if (job.buffers.grad_output_per_voxel) block.voxel_scale = grad_output + position;
    if (per_voxel_loss && job.buffers.loss != nullptr) {
      block.voxel_loss = static_cast<float*>(job.buffers.loss) + position;
    }
    if (direct) {
      block.z = static_cast<const float*>(job.buffers.logits) + offset;
      block.g = wanted ? static_cast<float*>(job.buffers.gradient) + offset : nullptr;
      block.stride = shape.stride_class;
    } else {
      load_block(job, offset, n, s.planes);
      block.z = s.planes;
      block.g = wanted ? s.planes : nullptr;
      block.stride = kLaneBlock;
    }
    loss += run_block<kClasses, kPlain>(block, terms_of<float>(job.table));
    if (wanted && !direct) store_block(job, s.planes, n, offset);
    if (job.buffers.confusion != nullptr) {
      count_confusion_bytes<kClasses>(n, s.truth, s.prediction, tally.confusion);
    }
  }
  if (job.streamed) finish_streaming();
  job.loss_partials[tile] = loss;
}

template <int kClasses>
void run_classes(const DenseJob& job, int64_t tile, int worker) {
  if (job.table.plain) return run_tile<kClasses, true>(job, tile, worker);
  run_tile<kClasses, false>(job, tile, worker);
}

}  // namespace

namespace TOMOLIFT_ISA {

void dense_count_lanes(void* context, int64_t tile, int worker) {
  const DenseJob& job = *static_cast<const DenseJob*>(context);
  const TileRange range = tile_range(job, tile);
  const CrossEntropyOptions& options = job.options;
  int64_t* counts = job.tallies[worker].counts;
  const int64_t position = range.sample * job.shape.voxels + range.begin;
  if (options.label_type == LabelType::kUInt8) {  // counted where they lie
    const uint8_t* labels = static_cast<const uint8_t*>(job.buffers.labels) + position;
    for (int64_t c = 0; c < job.shape.classes; ++c) {
      if (options.has_ignore_index && options.ignore_index == c) continue;
      counts[c] += count_bytes(labels, range.end - range.begin, uint8_t(c));
    }
    return;
  }
  LaneScratch& s = *static_cast<LaneScratch*>(job.scratch[worker]);
  LabelFault unused{0, 0, 0};  // the pass over the logits reports faults
  for (int64_t v = range.begin; v < range.end; v += kLaneBlock) {
    const int64_t n = range.end - v < kLaneBlock ? range.end - v : kLaneBlock;
    read_labels(job.buffers.labels, range.sample * job.shape.voxels + v, n, job.shape.classes,
                options, s.truth, unused);
    for (int64_t c = 0; c < job.shape.classes; ++c) {
      counts[c] += count_bytes(s.truth, n, uint8_t(c));
    }
  }
}

void dense_tile_lanes(void* context, int64_t tile, int worker) {
  const DenseJob& job = *static_cast<const DenseJob*>(context);
  switch (job.shape.classes) {
    case 1:
      return run_classes<1>(job, tile, worker);
    case 2:
      return run_classes<2>(job, tile, worker);
    case 3:
      return run_classes<3>(job, tile, worker);
    case 4:
      return run_classes<4>(job, tile, worker);
    case 5:
      return run_classes<5>(job, tile, worker);
    case 6:
      return run_classes<6>(job, tile, worker);
    case 7:
      return run_classes<7>(job, tile, worker);
    case 8:
      return run_classes<8>(job, tile, worker);
  }
}

}  // namespace TOMOLIFT_ISA
}  // namespace tomolift
