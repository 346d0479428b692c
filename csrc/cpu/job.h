// What the two CPU ops share around their kernels: the target table, workers' tallies, the outputs.
#pragma once

#include <cstddef>

#include "arena.h"
#include "tomolift/types.h"
#include "tomolift/voxel_functor.h"

namespace tomolift {

// The class tables in both precisions; the arrays lie in the workspace.
struct TargetTable {
  double* hit;  // [C]
  double* smooth;
  float* hit_float;
  float* smooth_float;
  double smooth_total;
  bool smoothed;
  bool plain;  // every weight is one and nothing is smoothed
};

// Unnamed, as the kernels of several instruction sets include this.
namespace {
template <typename Real>
TargetTerms<Real> terms_of(const TargetTable& table);
template <>
inline TargetTerms<float> terms_of<float>(const TargetTable& t) {
  return {t.hit_float, t.smooth_float, float(t.smooth_total), t.smoothed};
}
template <>
inline TargetTerms<double> terms_of<double>(const TargetTable& t) {
  return {t.hit, t.smooth, t.smooth_total, t.smoothed};
}
}  // namespace

// One worker's own counts; integers, so that adding them up in any order gives the same.
struct Tally {
  int64_t* confusion;  // [C, C]
  int64_t* counts;     // [C]
  LabelFault fault;
};

TargetTable take_target_table(Arena& arena, int64_t classes);
void fill_target_table(TargetTable& table, int64_t classes, const double* weight,
                       double label_smoothing);
Tally take_tally(Arena& arena, int64_t classes);
void clear_tally(Tally& tally, int64_t classes);

// Sums the workers' tallies into the outputs that are not null.
void add_tallies(const Tally* tallies, int workers, int64_t classes, int64_t* confusion,
                 LabelFault* fault);

// Sum of the class weights of the valid voxels, from their count per class.
double weighted_count(const int64_t* counts, const double* weight, int64_t classes);

// The same from a confusion matrix, whose rows count each class.
double confusion_weight(const int64_t* confusion, const double* weight, int64_t classes);

// Adds the partial sums in order and writes the loss in its own type.
void write_loss(const double* partials, int64_t count, Reduction reduction, double denominator,
                LogitsType logits_type, void* loss);

}  // namespace tomolift
