// The valid voxels of each class, from the labels alone: what the mean's gradient divides by.
//
// Of (2, 70, 512, 512) uint8 labels this reads 37 MB, which the L2 of an H200 (60 MB) keeps for the
// pass over the logits.
#include "label_vectors.cuh"
#include "voxel_cross_entropy_job.cuh"

namespace tomolift {
namespace {

constexpr int kCountThreads = 256;
// 64 labels a thread: four 16-byte loads of uint8, all under way at a time.
constexpr int64_t kCountTile = 16384;
constexpr int64_t kLabelsPerThread = kCountTile / kCountThreads;
// Beyond this many classes, counts go to global memory one by one.
constexpr int64_t kSharedCounts = 1024;
static_assert(kLabelsPerThread <= 255, "a thread's counts are bytes");

// Counts of at most eight classes in the bytes of one register pair.
class ByteCounts {
 public:
  __device__ void add(int truth) {
    if (truth >= 0) bytes_ += 1ull << (8 * truth);
  }
  __device__ unsigned int of(int truth) const {
    return (unsigned int)(bytes_ >> (8 * truth)) & 255u;
  }

 private:
  unsigned long long bytes_ = 0;
};

__device__ inline void add_count(const DenseJob& job, int64_t truth, unsigned int count) {
  if (count == 0) return;
  atomicAdd(reinterpret_cast<unsigned long long*>(&job.counts[truth]), (unsigned long long)(count));
}

// Visits this thread's labels of the block's tile.
template <typename Label, typename Visit>
__device__ inline void visit_labels(const DenseJob& job, Visit visit) {
  constexpr int kVector = 16 / int(sizeof(Label));
  const Label* labels = static_cast<const Label*>(job.buffers.labels);
  const int64_t begin = int64_t(blockIdx.x) * kCountTile;
  const int64_t total = job.shape.batch * job.shape.voxels;
  const bool aligned = reinterpret_cast<uintptr_t>(labels) % 16 == 0;
  if (aligned && begin + kCountTile <= total) {
#pragma unroll 4
    for (int i = 0; i < int(kLabelsPerThread) / kVector; ++i) {
      Label vector[kVector];
      load_label_vector(labels + begin + (i * kCountThreads + threadIdx.x) * kVector, vector);
#pragma unroll
      for (int k = 0; k < kVector; ++k) visit(vector[k]);
    }
    return;
  }
  for (int64_t i = begin + threadIdx.x; i < begin + kCountTile && i < total; i += kCountThreads) {
    visit(labels[i]);
  }
}

__global__ void __launch_bounds__(kCountThreads) count_few_classes(DenseJob job) {
  // 1 load
  ByteCounts counts;
  with_label_type(job.options.label_type, [&](auto type) {
    using Label = std::remove_const_t<std::remove_pointer_t<decltype(type)>>;
    visit_labels<Label>(
        job, [&](Label label) { counts.add(truth_of(label, job.shape.classes, job.options)); });
  });
  // 2 reduce
  __shared__ unsigned int shared[kDenseFewClasses];
  if (threadIdx.x < kDenseFewClasses) shared[threadIdx.x] = 0;
  __syncthreads();
  for (int c = 0; c < int(job.shape.classes); ++c) {
    const unsigned int count = __reduce_add_sync(0xffffffffu, counts.of(c));
    if (threadIdx.x % 32 == 0 && count > 0) atomicAdd(&shared[c], count);
  }
  __syncthreads();
  // 3 store
  if (threadIdx.x < job.shape.classes) add_count(job, threadIdx.x, shared[threadIdx.x]);
}

__global__ void __launch_bounds__(kCountThreads) count_many_classes(DenseJob job) {
  __shared__ unsigned int shared[kSharedCounts];
  const int64_t held = job.shape.classes <= kSharedCounts ? job.shape.classes : 0;
  for (int64_t c = threadIdx.x; c < held; c += kCountThreads) shared[c] = 0;
  __syncthreads();
  // 1 load, 2 reduce
  with_label_type(job.options.label_type, [&](auto type) {
    using Label = std::remove_const_t<std::remove_pointer_t<decltype(type)>>;
    visit_labels<Label>(job, [&](Label label) {
      const int truth = truth_of(label, job.shape.classes, job.options);
      if (truth < 0) return;
      if (truth < held) {
        atomicAdd(&shared[truth], 1u);
      } else {
        add_count(job, truth, 1);
      }
    });
  });
  __syncthreads();
  // 3 store
  for (int64_t c = threadIdx.x; c < held; c += kCountThreads) add_count(job, c, shared[c]);
}

}  // namespace

cudaError_t enqueue_label_count(const DenseJob& job, cudaStream_t stream) {
  const int64_t blocks = (job.shape.batch * job.shape.voxels + kCountTile - 1) / kCountTile;
  if (blocks == 0) return cudaSuccess;
  const bool few = job.shape.classes <= kDenseFewClasses;
  return enqueue(few ? count_few_classes : count_many_classes, blocks, kCountThreads, stream, job);
}

}  // namespace tomolift
