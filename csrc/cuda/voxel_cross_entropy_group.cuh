// A group of voxels between memory and registers, where it is 32-bit words.
//
// A unit is the fewest voxels that fill whole words: one of float32, two of the 16-bit types. A
// group is four units: 16 bytes of each class, and as many words as a thread can afford to have
// under way.
#pragma once

#include "element.cuh"
#include "label_vectors.cuh"
#include "voxel_cross_entropy_job.cuh"

namespace tomolift {
namespace {

// In packs of 16 bytes a thread's voxels are neighbours. Element by element they lie a block apart,
// so that a warp's accesses are neighbours, and the words are floats.
template <typename Element_, DenseAccess kAccess_>
struct GroupTraits {
  using Element = Element_;
  static constexpr DenseAccess kAccess = kAccess_;
  static constexpr bool kPacks = kAccess != DenseAccess::kElements;
  static constexpr int kUnits = 4;
  static constexpr int kUnitVoxels = kPacks ? 4 / int(sizeof(Element)) : 1;
  static constexpr int kVoxels = kUnits * kUnitVoxels;
  static constexpr int kStep = kPacks ? 1 : kDenseThreads;  // voxels from one to the next

  // where word j of a unit is among the group's
  template <int kClasses>
  __device__ static constexpr int word(int unit, int j) {
    return kAccess == DenseAccess::kPlanes ? j * kUnits + unit : unit * kClasses + j;
  }
};

struct DenseGroup {
  int64_t position;  // of its first voxel in the labels
  int64_t offset;    // of that voxel's first class in the logits
  int left;          // voxels from there to the tile's end
};

template <typename Traits>
__device__ inline bool holds(const DenseGroup& group, int k) {
  return Traits::kPacks || k * Traits::kStep < group.left;
}

// From a voxel to the next in the logits; known at compile time but for single elements.
template <typename Traits, int kClasses>
__device__ inline int64_t voxel_stride(const DenseShape& shape) {
  if constexpr (Traits::kAccess == DenseAccess::kPlanes) return 1;
  if constexpr (Traits::kAccess == DenseAccess::kChannelsLast) return kClasses;
  return shape.stride_voxel;
}

// The first of a thread's groups in the tile; each next one begins kDenseThreads * kVoxels later.
template <typename Traits, int kClasses>
__device__ inline DenseGroup first_group(const DenseJob& job, unsigned int tile) {
  // in 32 bits, as tiles are no more than blocks; in 64 a division is a function call
  const unsigned int sample = tile / (unsigned int)(job.tiles_per_sample);
  const int64_t begin = (tile - int64_t(sample) * job.tiles_per_sample) * kDenseTile;
  const int within = int(threadIdx.x) * (Traits::kPacks ? Traits::kVoxels : 1);
  return {sample * job.shape.voxels + begin + within,
          sample * job.shape.stride_batch +
              (begin + within) * voxel_stride<Traits, kClasses>(job.shape),
          int(min(kDenseTile, job.shape.voxels - begin)) - within};
}

template <typename Traits, int kClasses>
__device__ inline void advance(const DenseJob& job, DenseGroup& group) {
  constexpr int kBy = kDenseThreads * Traits::kVoxels;
  group.position += kBy;
  group.offset += kBy * voxel_stride<Traits, kClasses>(job.shape);
  group.left -= kBy;
}

template <typename Traits, int kClasses>
__device__ inline void load_words(const DenseJob& job, const DenseGroup& group,
                                  uint32_t (&words)[4 * kClasses]) {
  using Element = typename Traits::Element;
  const Element* logits = static_cast<const Element*>(job.buffers.logits) + group.offset;
#pragma unroll
  for (int j = 0; j < (Traits::kPacks ? kClasses : 0); ++j) {
    constexpr bool kPlanes = Traits::kAccess == DenseAccess::kPlanes;
    const int64_t offset = j * (kPlanes ? job.shape.stride_class : int64_t(16 / sizeof(Element)));
    // read once; not through the read-only path, as the gradient may take the logits' place
    const uint4 pack = __ldcs(reinterpret_cast<const uint4*>(logits + offset));
    memcpy(&words[4 * j], &pack, sizeof pack);
  }
#pragma unroll
  for (int k = 0; k < (Traits::kPacks ? 0 : Traits::kVoxels); ++k) {
    const Element* voxel = logits + k * Traits::kStep * job.shape.stride_voxel;
#pragma unroll
    for (int c = 0; c < kClasses; ++c) {
      const bool inside = holds<Traits>(group, k);
      const float value = inside ? to_float(voxel[c * job.shape.stride_class]) : 0.0f;
      words[k * kClasses + c] = __float_as_uint(value);
    }
  }
}

template <typename Traits, int kClasses>
__device__ inline void store_words(const DenseJob& job, const DenseGroup& group,
                                   const uint32_t (&words)[4 * kClasses]) {
  using Element = typename Traits::Element;
  Element* gradient = static_cast<Element*>(job.buffers.gradient) + group.offset;
#pragma unroll
  for (int j = 0; j < (Traits::kPacks ? kClasses : 0); ++j) {
    constexpr bool kPlanes = Traits::kAccess == DenseAccess::kPlanes;
    const int64_t offset = j * (kPlanes ? job.shape.stride_class : int64_t(16 / sizeof(Element)));
    uint4 pack;
    memcpy(&pack, &words[4 * j], sizeof pack);
    __stcs(reinterpret_cast<uint4*>(gradient + offset), pack);
  }
#pragma unroll
  for (int k = 0; k < (Traits::kPacks ? 0 : Traits::kVoxels); ++k) {
    Element* voxel = gradient + k * Traits::kStep * job.shape.stride_voxel;
#pragma unroll
    for (int c = 0; c < kClasses; ++c) {
      const float value = __uint_as_float(words[k * kClasses + c]);
      if (holds<Traits>(group, k)) from_float(value, voxel[c * job.shape.stride_class]);
    }
  }
}

// Whose words the group's are: the logits' type, or float where they came element by element.
template <typename Traits>
__device__ inline auto word_type() {
  if constexpr (Traits::kPacks) {
    return static_cast<const typename Traits::Element*>(nullptr);
  } else {
    return static_cast<const float*>(nullptr);
  }
}

template <typename Traits, int kClasses>
__device__ inline void read_unit(const uint32_t (&words)[4 * kClasses], int unit,
                                 float (&z)[Traits::kUnitVoxels][kClasses]) {
#pragma unroll
  for (int j = 0; j < kClasses; ++j) {
    float values[Traits::kUnitVoxels];
    unpack(words[Traits::template word<kClasses>(unit, j)], word_type<Traits>(), values);
#pragma unroll
    for (int i = 0; i < Traits::kUnitVoxels; ++i) {
      const int flat = j * Traits::kUnitVoxels + i;
      constexpr bool kPlanes = Traits::kAccess == DenseAccess::kPlanes;
      z[kPlanes ? i : flat / kClasses][kPlanes ? j : flat % kClasses] = values[i];
    }
  }
}

template <typename Traits, int kClasses>
__device__ inline void write_unit(const float (&z)[Traits::kUnitVoxels][kClasses], int unit,
                                  uint32_t (&words)[4 * kClasses]) {
#pragma unroll
  for (int j = 0; j < kClasses; ++j) {
    float values[Traits::kUnitVoxels];
#pragma unroll
    for (int i = 0; i < Traits::kUnitVoxels; ++i) {
      const int flat = j * Traits::kUnitVoxels + i;
      constexpr bool kPlanes = Traits::kAccess == DenseAccess::kPlanes;
      values[i] = z[kPlanes ? i : flat / kClasses][kPlanes ? j : flat % kClasses];
    }
    words[Traits::template word<kClasses>(unit, j)] = pack(values, word_type<Traits>());
  }
}

}  // namespace
}  // namespace tomolift
