// The dense op's pass over float16 logits.
#include "voxel_cross_entropy_launch.cuh"

namespace tomolift {

cudaError_t enqueue_tiles_float16(const DenseJob& job, cudaStream_t stream) {
  return enqueue_tiles_of<__half>(job, stream);
}

}  // namespace tomolift
