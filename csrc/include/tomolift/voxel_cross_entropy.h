// Fused voxel-wise cross-entropy: loss, gradient and confusion matrix in one pass over the logits.
#pragma once

#include "tomolift/types.h"

namespace tomolift {

struct DenseShape {
  int64_t batch;         // N
  int64_t classes;       // C
  int64_t voxels;        // V, the product of the spatial sizes
  int64_t stride_batch;  // of logits and gradient alike, in elements
  int64_t stride_class;
  int64_t stride_voxel;
};

// Outputs that are null are not computed. A gradient needs the mean's denominator before the pass:
// it comes from `known_denominator`, or from a pre-pass over the labels where that is null.
struct DenseBuffers {
  const void* logits;               // [N, C, V] by the strides
  const void* labels;               // [N, V]
  const double* weight;             // [C], or null for all ones
  const void* grad_output;          // [1] or [N, V] of the loss's type, or null for 1
  bool grad_output_per_voxel;       // which of the two
  const double* known_denominator;  // [1] or null
  void* workspace;                  // as many bytes as the op's workspace function says
  void* loss;                       // [1] or [N, V], float (double for float64 logits)
  void* gradient;                   // [N, C, V] by the strides, of the logits' type
  int64_t* confusion;               // [C, C], rows truth, columns prediction
  double* denominator;              // [1], the sum of the valid voxels' weights
  LabelFault* fault;                // [1]
};

int64_t voxel_cross_entropy_cpu_workspace(const DenseShape& shape, int threads);
void voxel_cross_entropy_cpu(const DenseShape& shape, const CrossEntropyOptions& options,
                             const DenseBuffers& buffers, int threads);

// The CUDA part: every pointer is device memory. Nothing is allocated and nothing waits; the work
// is enqueued on `stream` (a cudaStream_t). Returns a cudaError_t.
int64_t voxel_cross_entropy_cuda_workspace(const DenseShape& shape);
int voxel_cross_entropy_cuda(const DenseShape& shape, const CrossEntropyOptions& options,
                             const DenseBuffers& buffers, void* stream);
const char* cuda_error_message(int error);

}  // namespace tomolift
