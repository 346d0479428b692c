// Cross-entropy of linearly up-sampled logits, without the full-resolution logits ever existing.
#pragma once

#include "tomolift/sampling.h"
#include "tomolift/types.h"

namespace tomolift {

// Axes are (depth, height, width); a 2D problem has depth 1 on both sides.
struct UpsampledShape {
  int64_t batch;         // N
  int64_t classes;       // C
  int64_t low_size[3];   // of the low-resolution logits
  int64_t size[3];       // of the labels
  int64_t stride_batch;  // of the low-resolution logits, in elements
  int64_t stride_class;
  int64_t stride_axis[3];
  Sampling sampling;
  double stride[3];  // read for Sampling::kStride only
};

struct UpsampledBuffers {
  const void* low_logits;   // [N, C, d, h, w] by the strides
  const void* labels;       // [N, D, H, W]; null where only predictions are asked for
  const double* weight;     // [C] or null
  const void* grad_output;  // [1] or [N, D, H, W] of the loss's type, or null for 1
  bool grad_output_per_voxel;
  const double* known_denominator;  // [1] or null
  void* workspace;
  void* loss;            // [1] or [N, D, H, W]
  void* gradient;        // [N, C, d, h, w] contiguous, float (double for float64)
  int64_t* confusion;    // [C, C]
  double* denominator;   // [1]
  LabelFault* fault;     // [1]
  uint8_t* predictions;  // [N, D, H, W]; given alone, nothing else is computed
};

int64_t upsampled_cross_entropy_cpu_workspace(const UpsampledShape& shape,
                                              const CrossEntropyOptions& options,
                                              bool want_gradient, int threads);
void upsampled_cross_entropy_cpu(const UpsampledShape& shape, const CrossEntropyOptions& options,
                                 const UpsampledBuffers& buffers, int threads);

// The CUDA part: every pointer is device memory. Nothing is allocated and nothing waits; the work
// is enqueued on `stream` (a cudaStream_t). Returns a cudaError_t: invalid value for float64, and
// for outputs of more than about 2^36 voxels.
int64_t upsampled_cross_entropy_cuda_workspace(const UpsampledShape& shape,
                                               const CrossEntropyOptions& options,
                                               bool want_gradient);
int upsampled_cross_entropy_cuda(const UpsampledShape& shape, const CrossEntropyOptions& options,
                                 const UpsampledBuffers& buffers, void* stream);

}  // namespace tomolift
