#include "upsampled_cross_entropy_few_classes.cuh"

namespace tomolift {

cudaError_t enqueue_bricks_of_few_classes(const BrickJob& job, cudaStream_t stream) {
  switch (job.shape.classes) {
    case 1:
      return enqueue_classes<1>(job, stream);
    case 2:
      return enqueue_classes<2>(job, stream);
    case 3:
      return enqueue_classes<3>(job, stream);
    case 4:
      return enqueue_classes<4>(job, stream);
    case 5:
      return enqueue_classes<5>(job, stream);
    case 6:
      return enqueue_classes<6>(job, stream);
    case 7:
      return enqueue_classes<7>(job, stream);
    case 8:
      return enqueue_classes<8>(job, stream);
    default:
      return cudaErrorInvalidValue;
  }
}

}  // namespace tomolift
