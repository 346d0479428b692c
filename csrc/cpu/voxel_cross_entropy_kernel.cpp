// The dense op over one tile of voxels, for any number of classes and for float64; built once per
// instruction set into namespace TOMOLIFT_ISA.
#include "class_planes.h"
#include "labels.h"
#include "softmax_block.h"
#include "voxel_cross_entropy_job.h"

namespace tomolift {
namespace {

template <typename Real>
inline void fill_scale(const DenseJob& job, int64_t position, int64_t n, Real* __restrict scale) {
  const Real* grad_output = static_cast<const Real*>(job.buffers.grad_output);
  if (grad_output != nullptr && job.buffers.grad_output_per_voxel) {
    for (int64_t i = 0; i < n; ++i) scale[i] = grad_output[position + i];
    return;
  }
  const double factor = grad_output == nullptr ? 1.0 : double(grad_output[0]);
  for (int64_t i = 0; i < n; ++i) scale[i] = Real(factor * job.gradient_scale);
}

template <typename Element, typename Real>
void run_tile(const DenseJob& job, int64_t tile, int worker) {
  const DenseShape& shape = job.shape;
  const TileRange range = tile_range(job, tile);
  Tally& tally = job.tallies[worker];
  BlockScratch<Real>& s = *static_cast<BlockScratch<Real>*>(job.scratch[worker]);
  Real* z = reinterpret_cast<Real*>(&s + 1);  // [C, kBlock]
  Real* e = z + shape.classes * kBlock;       // [C, kBlock], exponentials, then gradients
  const TargetTerms<Real> terms = terms_of<Real>(job.table);
  // float planes are worked on where they lie; everything else goes through scratch
  constexpr bool kSameType = sizeof(Element) == sizeof(Real);
  const bool direct = kSameType && shape.stride_voxel == 1;
  double loss = 0.0;
  for (int64_t v = range.begin; v < range.end; v += kBlock) {
    const int64_t n = range.end - v < kBlock ? range.end - v : kBlock;
    const int64_t position = range.sample * shape.voxels + v;
    const int64_t offset = range.sample * shape.stride_batch + v * shape.stride_voxel;
    const Element* logits = static_cast<const Element*>(job.buffers.logits) + offset;
    Element* gradient = static_cast<Element*>(job.buffers.gradient);
    Real* g = gradient == nullptr ? nullptr : e;
    int64_t g_stride = kBlock;
    // 1 load
    read_labels(job.buffers.labels, position, n, shape.classes, job.options, s.truth, tally.fault);
    if (g != nullptr) fill_scale(job, position, n, s.scale);
    const Real* planes = z;
    int64_t planes_stride = kBlock;
    if constexpr (kSameType) {
      if (direct) {
        planes = logits;
        planes_stride = shape.stride_class;
        if (g != nullptr) {
          g = gradient + offset;
          g_stride = shape.stride_class;
        }
      }
    }
    if (!direct) load_planes(shape, logits, n, z, kBlock);
    // 2 compute
    softmax_block(planes, planes_stride, shape.classes, n, terms, job.table.plain, e, g, g_stride,
                  s);
    // 3 reduce and store
    if (job.buffers.confusion != nullptr) count_confusion(shape.classes, n, s, tally.confusion);
    if (job.buffers.loss != nullptr) {
      if (job.options.reduction == Reduction::kNone) {
        Real* out = static_cast<Real*>(job.buffers.loss) + position;
        for (int64_t i = 0; i < n; ++i) out[i] = s.loss[i];
      } else {
        loss += sum_losses(s.loss, n);
      }
    }
    if (g != nullptr && !direct) store_planes(shape, e, kBlock, n, gradient + offset);
  }
  job.loss_partials[tile] = loss;
}

}  // namespace

namespace TOMOLIFT_ISA {

void dense_count(void* context, int64_t tile, int worker) {
  const DenseJob& job = *static_cast<const DenseJob*>(context);
  const TileRange range = tile_range(job, tile);
  Tally& tally = job.tallies[worker];
  BlockScratch<float>& s = *static_cast<BlockScratch<float>*>(job.scratch[worker]);
  LabelFault unused{0, 0, 0};  // the pass over the logits reports faults
  for (int64_t v = range.begin; v < range.end; v += kBlock) {
    const int64_t n = range.end - v < kBlock ? range.end - v : kBlock;
    read_labels(job.buffers.labels, range.sample * job.shape.voxels + v, n, job.shape.classes,
                job.options, s.truth, unused);
    count_classes(job.shape.classes, n, s, tally.counts);
  }
}

void dense_tile(void* context, int64_t tile, int worker) {
  const DenseJob& job = *static_cast<const DenseJob*>(context);
  switch (job.options.logits_type) {
    case LogitsType::kFloat32:
      return run_tile<float, float>(job, tile, worker);
    case LogitsType::kBFloat16:
      return run_tile<BFloat16, float>(job, tile, worker);
    case LogitsType::kFloat16:
      return run_tile<Float16, float>(job, tile, worker);
    case LogitsType::kFloat64:
      return run_tile<double, double>(job, tile, worker);
  }
}

}  // namespace TOMOLIFT_ISA
}  // namespace tomolift
