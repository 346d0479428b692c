// The scratch of one worker of the dense op's register path.
#pragma once

#include <cstdint>

namespace tomolift {

// The most classes that the register paths take: as many as one table look-up of a vector has.
constexpr int64_t kMostLaneClasses = 8;

// 512 voxels of 3 classes and their scratch are 12 KiB: well inside the L1 cache.
constexpr int64_t kLaneBlock = 512;

struct LaneScratch {
  alignas(
      64) uint8_t truth[kLaneBlock + 64];  // class, or 255 where the voxel takes part in nothing
  alignas(64) uint8_t prediction[kLaneBlock + 64];
  alignas(64) float planes[kMostLaneClasses * kLaneBlock];
};

}  // namespace tomolift
