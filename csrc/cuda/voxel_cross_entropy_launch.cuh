// Which kernel runs a job of one logits' type.
#pragma once

#include "voxel_cross_entropy_any_classes.cuh"
#include "voxel_cross_entropy_tiles.cuh"

namespace tomolift {
namespace {

using DenseKernel = void (*)(DenseJob);

template <typename Element, int kClasses, DenseAccess kAccess>
DenseKernel plain_or_not(bool plain) {
  // Packs of eight classes of 16 bits and the tables too are more than the 255 registers that a
  // thread can have on sm_80.
  constexpr bool kTooMany = sizeof(Element) == 2 && kClasses == 8;
  constexpr DenseAccess kWithTables = kTooMany ? DenseAccess::kElements : kAccess;
  return plain ? run_tiles<GroupTraits<Element, kAccess>, kClasses, true>
               : run_tiles<GroupTraits<Element, kWithTables>, kClasses, false>;
}

template <typename Element, int kClasses>
DenseKernel choose_access(const DenseJob& job) {
  switch (job.access) {
    case DenseAccess::kPlanes:
      return plain_or_not<Element, kClasses, DenseAccess::kPlanes>(job.plain);
    case DenseAccess::kChannelsLast:
      return plain_or_not<Element, kClasses, DenseAccess::kChannelsLast>(job.plain);
    default:
      return plain_or_not<Element, kClasses, DenseAccess::kElements>(job.plain);
  }
}

template <typename Element>
DenseKernel choose_kernel(const DenseJob& job) {
  switch (job.shape.classes) {
    case 1:
      return choose_access<Element, 1>(job);
    case 2:
      return choose_access<Element, 2>(job);
    case 3:
      return choose_access<Element, 3>(job);
    case 4:
      return choose_access<Element, 4>(job);
    case 5:
      return choose_access<Element, 5>(job);
    case 6:
      return choose_access<Element, 6>(job);
    case 7:
      return choose_access<Element, 7>(job);
    case kDenseFewClasses:
      return choose_access<Element, int(kDenseFewClasses)>(job);
    default:
      return run_tiles_of_any_classes<Element>;
  }
}

template <typename Element>
cudaError_t enqueue_tiles_of(const DenseJob& job, cudaStream_t stream) {
  return enqueue(choose_kernel<Element>(job), job.tiles, kDenseThreads, stream, job);
}

}  // namespace
}  // namespace tomolift
