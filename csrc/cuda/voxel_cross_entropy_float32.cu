// The dense op's pass over float32 logits.
#include "voxel_cross_entropy_launch.cuh"

namespace tomolift {

cudaError_t enqueue_tiles_float32(const DenseJob& job, cudaStream_t stream) {
  return enqueue_tiles_of<float>(job, stream);
}

}  // namespace tomolift
