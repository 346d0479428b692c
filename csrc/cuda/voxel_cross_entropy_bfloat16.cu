// The dense op's pass over bfloat16 logits.
#include "voxel_cross_entropy_launch.cuh"

namespace tomolift {

cudaError_t enqueue_tiles_bfloat16(const DenseJob& job, cudaStream_t stream) {
  return enqueue_tiles_of<__nv_bfloat16>(job, stream);
}

}  // namespace tomolift
