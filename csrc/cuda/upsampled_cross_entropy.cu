// The up-sampled op on CUDA, the host's side: how the work is cut up, the workspace, the launches.
#include "tomolift/upsampled_cross_entropy.h"
#include "upsampled_cross_entropy_job.cuh"

namespace tomolift {
namespace {

// Pieces of the workspace, aligned to a cache line; with a null base it only measures.
class DevicePieces {
 public:
  explicit DevicePieces(void* base) : base_(static_cast<char*>(base)) {}

  template <typename T>
  T* take(int64_t count) {
    T* piece = base_ == nullptr ? nullptr : reinterpret_cast<T*>(base_ + used_);
    used_ += (count * int64_t(sizeof(T)) + 127) / 128 * 128;
    return piece;
  }
  int64_t used() const { return used_; }

 private:
  char* base_;
  int64_t used_ = 0;
};

int64_t voxels_of(const UpsampledShape& shape) {
  return shape.batch * shape.size[0] * shape.size[1] * shape.size[2];
}

int64_t pieces_of(const UpsampledShape& shape, int axis) {
  const int64_t longest = shape.low_size[axis] * kLongestRun;
  return shape.size[axis] > longest ? (shape.size[axis] + longest - 1) / longest : 1;
}

// Low-resolution columns that a tile of output columns reaches, at most.
int span_of(const UpsampledShape& shape) {
  const int64_t size = shape.size[2];
  const int64_t low_size = shape.low_size[2];
  const auto lower = [&](int64_t i) {
    return sample_axis(shape.sampling, shape.stride[2], low_size, size, i).lower;
  };
  int64_t span = 1;
  for (int64_t begin = 0; begin < size; begin += kLanes) {
    const int64_t end = begin + kLanes < size ? begin + kLanes : size;
    const int64_t upper = lower(end - 1) + 1 < low_size ? lower(end - 1) + 1 : low_size - 1;
    if (upper - lower(begin) + 1 > span) span = upper - lower(begin) + 1;
  }
  return int(span);
}

void cut_up(const UpsampledShape& shape, BrickJob& job) {
  job.shape = shape;
  job.pieces[0] = pieces_of(shape, 0);
  job.pieces[1] = pieces_of(shape, 1);
  job.tiles = (shape.size[2] + kLanes - 1) / kLanes;
  job.span = span_of(shape);
  job.bricks = 0;
  if (voxels_of(shape) == 0) return;
  job.bricks = shape.batch * shape.low_size[0] * job.pieces[0] * shape.low_size[1] * job.pieces[1] *
               job.tiles;
}

// Whether the kernels can read the low-resolution logits where they lie.
bool are_plain_floats(const UpsampledShape& shape, const CrossEntropyOptions& options) {
  int64_t step = 1;
  for (int axis = 2; axis >= 0; --axis) {
    if (shape.low_size[axis] > 1 && shape.stride_axis[axis] != step) return false;
    step *= shape.low_size[axis];
  }
  if (shape.classes > 1 && shape.stride_class != step) return false;
  if (shape.batch > 1 && shape.stride_batch != step * shape.classes) return false;
  return options.logits_type == LogitsType::kFloat32;
}

// The same walk measures the workspace (null base) and hands it out.
void lay_out(DevicePieces& pieces, bool want_gradient, BrickJob& job) {
  const UpsampledShape& shape = job.shape;
  const int64_t classes = shape.classes;
  for (int axis = 0; axis < 3; ++axis) {
    job.axes[axis].lower = pieces.take<int32_t>(shape.size[axis]);
    job.axes[axis].weight = pieces.take<float>(shape.size[axis]);
    job.axes[axis].first = pieces.take<int32_t>(shape.low_size[axis] + 1);
  }
  job.low_copy = nullptr;
  if (!are_plain_floats(shape, job.options)) {
    job.low_copy = pieces.take<float>(shape.batch * classes * low_voxels_of(shape));
  }
  job.hit = pieces.take<float>(classes);
  job.smooth = pieces.take<float>(classes);
  job.totals = pieces.take<BrickTotals>(1);
  job.confusion = pieces.take<int64_t>(classes * classes);
  job.loss_partials = pieces.take<double>(blocks_of(job));
  job.gradient_partials = nullptr;
  if (want_gradient) {
    job.gradient_partials = pieces.take<float>(job.bricks * classes * 4 * job.span);
  }
}

BrickJob make_job(const UpsampledShape& shape, const CrossEntropyOptions& options,
                  const UpsampledBuffers& buffers) {
  BrickJob job{};
  cut_up(shape, job);
  job.options = options;
  job.buffers = buffers;
  job.plain = buffers.weight == nullptr && options.label_smoothing == 0.0 &&
              options.reduction != Reduction::kNone && !buffers.grad_output_per_voxel;
  DevicePieces pieces(buffers.workspace);
  lay_out(pieces, buffers.gradient != nullptr, job);
  job.low = job.low_copy;
  if (job.low == nullptr) job.low = static_cast<const float*>(buffers.low_logits);
  const bool needs_denominator =
      buffers.known_denominator == nullptr &&
      (options.reduction == Reduction::kMean || buffers.denominator != nullptr);
  if (buffers.confusion != nullptr) job.confusion = buffers.confusion;
  if (buffers.confusion == nullptr && !needs_denominator) job.confusion = nullptr;
  return job;
}

cudaError_t enqueue_pass(const BrickJob& job, cudaStream_t stream) {
  if (job.bricks == 0) return cudaSuccess;
  if (job.shape.classes > kFewClasses) return enqueue_bricks_of_many_classes(job, stream);
  return enqueue_bricks_of_few_classes(job, stream);
}

// A weighted mean may divide by zero though voxels are valid: once more, each by itself.
cudaError_t enqueue_division_by_zero(BrickJob job, cudaStream_t stream) {
  if (job.buffers.weight == nullptr || job.options.reduction != Reduction::kMean) {
    return cudaSuccess;
  }
  job.divide_by_zero = true;
  job.buffers.loss = nullptr;
  job.buffers.fault = nullptr;
  job.confusion = nullptr;
  job.loss_partials = nullptr;
  return enqueue_pass(job, stream);
}

}  // namespace

int64_t upsampled_cross_entropy_cuda_workspace(const UpsampledShape& shape,
                                               const CrossEntropyOptions& options,
                                               bool want_gradient) {
  BrickJob job{};
  cut_up(shape, job);
  job.options = options;
  DevicePieces pieces(nullptr);
  lay_out(pieces, want_gradient, job);
  return pieces.used();
}

int upsampled_cross_entropy_cuda(const UpsampledShape& shape, const CrossEntropyOptions& options,
                                 const UpsampledBuffers& buffers, void* stream_handle) {
  const cudaStream_t stream = static_cast<cudaStream_t>(stream_handle);
  const BrickJob job = make_job(shape, options, buffers);
  if (options.logits_type == LogitsType::kFloat64 || job.bricks > INT32_MAX) {
    return int(cudaErrorInvalidValue);
  }
  cudaError_t error = enqueue_brick_preparation(job, stream);
  if (buffers.predictions != nullptr) {
    if (error == cudaSuccess && job.bricks > 0) error = enqueue_brick_argmax(job, stream);
    return int(error);
  }
  if (error == cudaSuccess) error = enqueue_pass(job, stream);
  if (error == cudaSuccess) error = enqueue_brick_settling(job, stream);
  if (buffers.gradient == nullptr) return int(error);
  if (error == cudaSuccess) error = enqueue_division_by_zero(job, stream);
  if (error == cudaSuccess) error = enqueue_brick_gathering(job, stream);
  return int(error);
}

}  // namespace tomolift
