// Labels of any integer type, read as class indices; what is out of range never indexes memory.
#pragma once

#include <limits>
#include <type_traits>

#include "tomolift/types.h"

namespace tomolift {
namespace {

// Compared in the labels' own type, so that many fit into a vector.
template <typename Label, bool kHasIgnore>
struct LabelRule {
  using Unsigned = std::make_unsigned_t<Label>;  // negative labels are beyond every class

  Unsigned last;  // class; all labels may be one if there are more classes than values
  Label ignore;

  LabelRule(int64_t classes, const CrossEntropyOptions& options)
      : last(classes - 1 < int64_t(std::numeric_limits<Label>::max())
                 ? Unsigned(classes - 1)
                 : Unsigned(std::numeric_limits<Label>::max())),
        ignore(Label(options.ignore_index)) {}
  bool ignored(Label label) const { return kHasIgnore && label == ignore; }
  bool inside(Label label) const { return Unsigned(label) <= last; }
};

// -100 is no uint8: compared after a cast it would match 156.
template <typename Label>
inline bool may_be_ignored(const CrossEntropyOptions& options) {
  return options.has_ignore_index && int64_t(Label(options.ignore_index)) == options.ignore_index;
}

template <typename Label, bool kHasIgnore, typename Truth>
inline void read_labels_by(const LabelRule<Label, kHasIgnore>& rule, const Label* __restrict labels,
                           int64_t offset, int64_t n, Truth* __restrict truth, LabelFault& fault) {
  Truth wrong = 0;
  for (int64_t i = 0; i < n; ++i) {
    const bool inside = rule.inside(labels[i]);
    const bool ignored = rule.ignored(labels[i]);
    truth[i] = (inside & !ignored) ? Truth(labels[i]) : Truth(-1);
    wrong = Truth(wrong | ((inside | ignored) ? Truth(0) : Truth(1)));
  }
  if (wrong == 0) return;
  int64_t first = -1;
  int64_t faults = 0;
  for (int64_t i = 0; i < n; ++i) {
    if (rule.inside(labels[i]) || rule.ignored(labels[i])) continue;
    if (first < 0) first = i;
    ++faults;
  }
  if (fault.count == 0 || offset + first < fault.first_position) {
    fault.first_position = offset + first;
    fault.first_value = int64_t(labels[first]);
  }
  fault.count += faults;
}

template <typename Label, typename Truth>
inline void read_labels_as(const void* source, int64_t offset, int64_t n, int64_t classes,
                           const CrossEntropyOptions& options, Truth* truth, LabelFault& fault) {
  const Label* labels = static_cast<const Label*>(source) + offset;
  if (may_be_ignored<Label>(options)) {
    const LabelRule<Label, true> rule(classes, options);
    return read_labels_by(rule, labels, offset, n, truth, fault);
  }
  const LabelRule<Label, false> rule(classes, options);
  read_labels_by(rule, labels, offset, n, truth, fault);
}

// truth[i] is the class, or Truth(-1) where the voxel takes part in nothing: 255 for uint8_t, which
// serves up to 254 classes.
template <typename Truth>
inline void read_labels(const void* labels, int64_t offset, int64_t n, int64_t classes,
                        const CrossEntropyOptions& options, Truth* truth, LabelFault& fault) {
  switch (options.label_type) {
    case LabelType::kUInt8:
      return read_labels_as<uint8_t>(labels, offset, n, classes, options, truth, fault);
    case LabelType::kInt16:
      return read_labels_as<int16_t>(labels, offset, n, classes, options, truth, fault);
    case LabelType::kInt32:
      return read_labels_as<int32_t>(labels, offset, n, classes, options, truth, fault);
    case LabelType::kInt64:
      return read_labels_as<int64_t>(labels, offset, n, classes, options, truth, fault);
  }
}

}  // namespace
}  // namespace tomolift
