// The dense op on CUDA: lays out the workspace and enqueues the kernels of the other files.
#include "tomolift/voxel_cross_entropy.h"
#include "voxel_cross_entropy_job.cuh"

namespace tomolift {
namespace {

int64_t tiles_per_sample(const DenseShape& shape) {
  return (shape.voxels + kDenseTile - 1) / kDenseTile;
}

int64_t padded(int64_t bytes) { return (bytes + 63) / 64 * 64; }

bool on_16_bytes(const void* address) { return reinterpret_cast<uintptr_t>(address) % 16 == 0; }

// Packs need every group of every class to begin on 16 bytes, whatever is read and written.
DenseAccess choose_access(const DenseShape& shape, const CrossEntropyOptions& options,
                          const DenseBuffers& buffers) {
  const int64_t pack = options.logits_type == LogitsType::kFloat32 ? 4 : 8;
  if (shape.voxels % pack != 0 || shape.stride_batch % pack != 0 || !on_16_bytes(buffers.logits) ||
      !on_16_bytes(buffers.gradient) || !on_16_bytes(buffers.labels)) {
    return DenseAccess::kElements;
  }
  if (shape.stride_voxel == 1 && shape.stride_class % pack == 0) return DenseAccess::kPlanes;
  if (shape.stride_class == 1 && shape.stride_voxel == shape.classes) {
    return DenseAccess::kChannelsLast;
  }
  return DenseAccess::kElements;
}

DenseJob make_job(const DenseShape& shape, const CrossEntropyOptions& options,
                  const DenseBuffers& buffers) {
  DenseJob job{};
  job.shape = shape;
  job.options = options;
  job.buffers = buffers;
  job.tiles_per_sample = tiles_per_sample(shape);
  job.tiles = shape.batch * job.tiles_per_sample;
  job.access = choose_access(shape, options, buffers);
  job.plain = buffers.weight == nullptr && options.label_smoothing == 0.0 &&
              options.reduction != Reduction::kNone;
  char* memory = static_cast<char*>(buffers.workspace);
  const int64_t table = padded(shape.classes * 8);
  job.hit = reinterpret_cast<float*>(memory);
  job.smooth = reinterpret_cast<float*>(memory + table);
  job.counts = reinterpret_cast<int64_t*>(memory + 2 * table);
  job.totals = reinterpret_cast<DenseTotals*>(memory + 3 * table);
  job.partials = reinterpret_cast<double*>(memory + 3 * table + padded(sizeof(DenseTotals)));
  return job;
}

cudaError_t enqueue_denominator(const DenseJob& job, cudaStream_t stream) {
  const cudaError_t error = enqueue_label_count(job, stream);
  return error == cudaSuccess ? enqueue_settling(job, stream) : error;
}

cudaError_t enqueue_tiles(const DenseJob& job, cudaStream_t stream) {
  switch (job.options.logits_type) {
    case LogitsType::kFloat32:
      return enqueue_tiles_float32(job, stream);
    case LogitsType::kBFloat16:
      return enqueue_tiles_bfloat16(job, stream);
    case LogitsType::kFloat16:
      return enqueue_tiles_float16(job, stream);
    default:
      return cudaErrorInvalidValue;  // float64 is refused in Python, which names the way out
  }
}

}  // namespace

int64_t voxel_cross_entropy_cuda_workspace(const DenseShape& shape) {
  return 3 * padded(shape.classes * 8) + padded(sizeof(DenseTotals)) +
         padded(shape.batch * tiles_per_sample(shape) * 8);
}

int voxel_cross_entropy_cuda(const DenseShape& shape, const CrossEntropyOptions& options,
                             const DenseBuffers& buffers, void* stream_handle) {
  const cudaStream_t stream = static_cast<cudaStream_t>(stream_handle);
  const DenseJob job = make_job(shape, options, buffers);
  // a grid's limit, 17 TB of labels away
  if (job.tiles > INT32_MAX) return int(cudaErrorInvalidValue);
  cudaError_t error = enqueue_preparation(job, stream);
  if (error == cudaSuccess && needs_label_count(job)) error = enqueue_denominator(job, stream);
  if (error == cudaSuccess && job.tiles > 0) error = enqueue_tiles(job, stream);
  if (error == cudaSuccess) error = enqueue_finish(job, stream);
  return int(error);
}

const char* cuda_error_message(int error) {
  return cudaGetErrorString(static_cast<cudaError_t>(error));
}

}  // namespace tomolift
