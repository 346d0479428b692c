// The dense op over one tile of voxels, for up to eight classes, in registers; built once per
// instruction set into namespace TOMOLIFT_ISA.
#include "voxel_cross_entropy_lanes.h"

#include "class_planes.h"
#include "code_bytes.h"
#include "labels.h"
#include "softmax_lanes.h"
#include "voxel_cross_entropy_job.h"

namespace tomolift {
namespace {

// One block of class planes: logits of type Element in, gradients of the same type out, which may
// be the same memory.
template <typename Element, int kClasses, bool kPlain>
class Block {
 public:
  Block(const DenseJob& job, LaneScratch& scratch)
      : job_(job),
        scratch_(scratch),
        terms_(terms_of<float>(job.table)),
        per_voxel_loss_(job.options.reduction == Reduction::kNone),
        per_voxel_scale_(job.buffers.grad_output_per_voxel) {
    const float* grad_output = static_cast<const float*>(job.buffers.grad_output);
    const bool scaled = grad_output != nullptr && !per_voxel_scale_;
    scale_ = float((scaled ? double(grad_output[0]) : 1.0) * job.gradient_scale);
    scale_apart_ = per_voxel_scale_ || !std::isfinite(scale_);
  }

  // Returns the sum of the losses; `position` is that of the first voxel among all.
  double run(const Element* z, Element* g, int64_t stride, int64_t position, int64_t n,
             bool streamed) {
    z_ = z;
    g_ = g;
    stride_ = stride;
    position_ = position;
    LaneLoss<kClasses, kPlain> losses;
    LaneSum sum;
    int64_t i = 0;
    for (int round = 1; i < n; i += kLanes, ++round) {
      const int64_t count = n - i < kLanes ? n - i : kLanes;
      streamed&& count == kLanes ? run_lanes<true>(i, count, losses)
                                 : run_lanes<false>(i, count, losses);
      if (round % kProduct == 0 && !per_voxel_loss_) sum.add(losses.take(terms_));
    }
    if (!per_voxel_loss_) sum.add(losses.take(terms_));
    return sum.total();
  }

 private:
  template <bool kStreamed>
  [[gnu::always_inline]] void run_lanes(int64_t i, int64_t count,
                                        LaneLoss<kClasses, kPlain>& losses) {
    // 1 load
    Floats z[kClasses];
#pragma GCC unroll 8
    for (int c = 0; c < kClasses; ++c) z[c] = load_first(z_ + c * stride_ + i, count);
    const Ints truth = load_ints(scratch_.truth + i);
    // 2 compute
    const LaneSoftmax<kClasses> s = softmax_lanes<kClasses, kPlain>(z, truth, terms_);
    store(s.prediction, scratch_.prediction + i);
    losses.add(s, truth, terms_);
    // 3 store
    if (g_ != nullptr) {
      LaneScale scale{all_lanes(scale_), scale_apart_};
      if (per_voxel_scale_) {
        scale.value =
            load_first(static_cast<const float*>(job_.buffers.grad_output) + position_ + i, count);
      }
      lane_gradients<kClasses, kPlain>(s, truth, terms_, scale, [&](int c, Floats g) {
        Element* target = g_ + c * stride_ + i;
        if constexpr (kStreamed) {
          stream(g, target);
        } else {
          store_first(g, target, count);
        }
      });
    }
    if (!per_voxel_loss_) return;
    const Floats loss = losses.take(terms_);
    if (job_.buffers.loss == nullptr) return;
    store_first(loss, static_cast<float*>(job_.buffers.loss) + position_ + i, count);
  }

  const DenseJob& job_;
  LaneScratch& scratch_;
  const TargetTerms<float> terms_;
  const bool per_voxel_loss_;
  const bool per_voxel_scale_;
  float scale_;
  bool scale_apart_;
  const Element* z_ = nullptr;
  Element* g_ = nullptr;
  int64_t stride_ = 0;
  int64_t position_ = 0;
};

template <typename Element>
bool aligned_for_streaming(const DenseShape& shape, const Element* gradient) {
  const int64_t vector_bytes = kLanes * int64_t(sizeof(Element));
  const int64_t stride_bits = shape.stride_class | shape.stride_batch;
  return (reinterpret_cast<uintptr_t>(gradient) | uintptr_t(stride_bits * sizeof(Element))) %
             uintptr_t(vector_bytes) ==
         0;
}

template <typename Element, int kClasses, bool kPlain>
void run_tile(const DenseJob& job, int64_t tile, int worker) {
  const DenseShape& shape = job.shape;
  const TileRange range = tile_range(job, tile);
  Tally& tally = job.tallies[worker];
  LaneScratch& s = *static_cast<LaneScratch*>(job.scratch[worker]);
  Element* gradient = static_cast<Element*>(job.buffers.gradient);
  const bool direct = shape.stride_voxel == 1;
  // over the logits only by whole lines: half a line written past the caches has to be read again
  const bool whole_lines =
      kLanes * sizeof(Element) == 64 || job.buffers.gradient != job.buffers.logits;
  const bool streamed =
      direct && job.streamed && whole_lines && aligned_for_streaming(shape, gradient);
  double loss = 0.0;
  for (int64_t v = range.begin; v < range.end; v += kLaneBlock) {
    const int64_t n = range.end - v < kLaneBlock ? range.end - v : kLaneBlock;
    const int64_t position = range.sample * shape.voxels + v;
    const int64_t offset = range.sample * shape.stride_batch + v * shape.stride_voxel;
    const Element* logits = static_cast<const Element*>(job.buffers.logits) + offset;
    read_labels(job.buffers.labels, position, n, shape.classes, job.options, s.truth, tally.fault);
    std::memset(s.truth + n, 255, kLanes);
    if (direct) {
      Block<Element, kClasses, kPlain> block(job, s);
      Element* g = gradient == nullptr ? nullptr : gradient + offset;
      loss += block.run(logits, g, shape.stride_class, position, n, streamed);
    } else {
      Block<float, kClasses, kPlain> block(job, s);
      load_planes(shape, logits, n, s.planes, kLaneBlock);
      float* g = gradient == nullptr ? nullptr : s.planes;
      loss += block.run(s.planes, g, kLaneBlock, position, n, false);
      if (g != nullptr) store_planes(shape, g, kLaneBlock, n, gradient + offset);
    }
    if (job.buffers.confusion != nullptr) {
      count_confusion_bytes<kClasses>(n, s.truth, s.prediction, tally.confusion);
    }
  }
  if (streamed) finish_streaming();
  job.loss_partials[tile] = loss;
}

template <typename Element, int kClasses>
void run_classes(const DenseJob& job, int64_t tile, int worker) {
  if (job.table.plain) return run_tile<Element, kClasses, true>(job, tile, worker);
  run_tile<Element, kClasses, false>(job, tile, worker);
}

template <typename Element>
void run_element(const DenseJob& job, int64_t tile, int worker) {
  switch (job.shape.classes) {
    case 1:
      return run_classes<Element, 1>(job, tile, worker);
    case 2:
      return run_classes<Element, 2>(job, tile, worker);
    case 3:
      return run_classes<Element, 3>(job, tile, worker);
    case 4:
      return run_classes<Element, 4>(job, tile, worker);
    case 5:
      return run_classes<Element, 5>(job, tile, worker);
    case 6:
      return run_classes<Element, 6>(job, tile, worker);
    case 7:
      return run_classes<Element, 7>(job, tile, worker);
    case 8:
      return run_classes<Element, 8>(job, tile, worker);
  }
}

}  // namespace

namespace TOMOLIFT_ISA {

void dense_count_lanes(void* context, int64_t tile, int worker) {
  const DenseJob& job = *static_cast<const DenseJob*>(context);
  const TileRange range = tile_range(job, tile);
  Tally& tally = job.tallies[worker];
  LaneScratch& s = *static_cast<LaneScratch*>(job.scratch[worker]);
  LabelFault unused{0, 0, 0};  // the pass over the logits reports faults
  for (int64_t v = range.begin; v < range.end; v += kLaneBlock) {
    const int64_t n = range.end - v < kLaneBlock ? range.end - v : kLaneBlock;
    read_labels(job.buffers.labels, range.sample * job.shape.voxels + v, n, job.shape.classes,
                job.options, s.truth, unused);
    count_class_bytes(job.shape.classes, n, s.truth, tally.counts);
  }
}

void dense_tile_lanes(void* context, int64_t tile, int worker) {
  const DenseJob& job = *static_cast<const DenseJob*>(context);
  switch (job.options.logits_type) {
    case LogitsType::kFloat32:
      return run_element<float>(job, tile, worker);
    case LogitsType::kBFloat16:
      return run_element<BFloat16>(job, tile, worker);
    case LogitsType::kFloat16:
      return run_element<Float16>(job, tile, worker);
    case LogitsType::kFloat64:
      return;  // dense_tile's
  }
}

}  // namespace TOMOLIFT_ISA
}  // namespace tomolift
