// A block of voxels out of any layout into class planes of reals, and back.
#pragma once

#include "numeric.h"
#include "tomolift/voxel_cross_entropy.h"

namespace tomolift {
namespace {

// [n, C] as channels-last logits lie, with the number of classes known to the compiler.
template <int kClasses, typename Element, typename Real>
inline void deinterleave(const Element* __restrict source, int64_t n, Real* __restrict planes,
                         int64_t plane_stride) {
  for (int64_t i = 0; i < n; ++i) {
    for (int64_t c = 0; c < kClasses; ++c) {
      planes[c * plane_stride + i] = to_real(source[i * kClasses + c]);
    }
  }
}

template <int kClasses, typename Element, typename Real>
inline void interleave(const Real* __restrict planes, int64_t plane_stride, int64_t n,
                       Element* __restrict target) {
  for (int64_t i = 0; i < n; ++i) {
    for (int64_t c = 0; c < kClasses; ++c) {
      from_real(planes[c * plane_stride + i], target[i * kClasses + c]);
    }
  }
}

inline bool is_channels_last(const DenseShape& shape) {
  return shape.stride_class == 1 && shape.stride_voxel == shape.classes;
}

template <typename Element, typename Real>
inline void load_planes(const DenseShape& shape, const Element* source, int64_t n, Real* planes,
                        int64_t plane_stride) {
  if (is_channels_last(shape)) {
    if (shape.classes == 2) return deinterleave<2>(source, n, planes, plane_stride);
    if (shape.classes == 3) return deinterleave<3>(source, n, planes, plane_stride);
    if (shape.classes == 4) return deinterleave<4>(source, n, planes, plane_stride);
  }
  for (int64_t c = 0; c < shape.classes; ++c) {
    const Element* __restrict in = source + c * shape.stride_class;
    Real* __restrict out = planes + c * plane_stride;
    if (shape.stride_voxel == 1) {
      for (int64_t i = 0; i < n; ++i) out[i] = to_real(in[i]);
    } else {
      for (int64_t i = 0; i < n; ++i) out[i] = to_real(in[i * shape.stride_voxel]);
    }
  }
}

template <typename Element, typename Real>
inline void store_planes(const DenseShape& shape, const Real* planes, int64_t plane_stride,
                         int64_t n, Element* target) {
  if (is_channels_last(shape)) {
    if (shape.classes == 2) return interleave<2>(planes, plane_stride, n, target);
    if (shape.classes == 3) return interleave<3>(planes, plane_stride, n, target);
    if (shape.classes == 4) return interleave<4>(planes, plane_stride, n, target);
  }
  for (int64_t c = 0; c < shape.classes; ++c) {
    const Real* __restrict in = planes + c * plane_stride;
    Element* __restrict out = target + c * shape.stride_class;
    if (shape.stride_voxel == 1) {
      for (int64_t i = 0; i < n; ++i) from_real(in[i], out[i]);
    } else {
      for (int64_t i = 0; i < n; ++i) from_real(in[i], out[i * shape.stride_voxel]);
    }
  }
}

}  // namespace
}  // namespace tomolift
