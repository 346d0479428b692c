#include "job.h"

namespace tomolift {

TargetTable take_target_table(Arena& arena, int64_t classes) {
  TargetTable table{};
  table.hit = arena.take<double>(classes);
  table.smooth = arena.take<double>(classes);
  // a vector's table look-up reads eight whatever their number is
  table.hit_float = arena.take<float>(classes < 8 ? 8 : classes);
  table.smooth_float = arena.take<float>(classes);
  return table;
}

void fill_target_table(TargetTable& table, int64_t classes, const double* weight,
                       double label_smoothing) {
  table.smoothed = label_smoothing > 0.0;
  table.plain = !table.smoothed;
  table.smooth_total = 0.0;
  for (int64_t c = classes; c < 8; ++c) table.hit_float[c] = 0.0f;
  for (int64_t c = 0; c < classes; ++c) {
    const double class_weight = weight == nullptr ? 1.0 : weight[c];
    table.plain = table.plain && class_weight == 1.0;
    table.hit[c] = (1.0 - label_smoothing) * class_weight;
    // not 0 * inf where nothing is smoothed
    table.smooth[c] = table.smoothed ? label_smoothing / double(classes) * class_weight : 0.0;
    table.smooth_total += table.smooth[c];
    table.hit_float[c] = float(table.hit[c]);
    table.smooth_float[c] = float(table.smooth[c]);
  }
}

Tally take_tally(Arena& arena, int64_t classes) {
  Tally tally{};
  tally.confusion = arena.take<int64_t>(classes * classes);
  tally.counts = arena.take<int64_t>(classes);
  return tally;
}

void clear_tally(Tally& tally, int64_t classes) {
  for (int64_t i = 0; i < classes * classes; ++i) tally.confusion[i] = 0;
  for (int64_t c = 0; c < classes; ++c) tally.counts[c] = 0;
  tally.fault = {0, 0, 0};
}

void add_tallies(const Tally* tallies, int workers, int64_t classes, int64_t* confusion,
                 LabelFault* fault) {
  if (confusion != nullptr) {
    for (int64_t i = 0; i < classes * classes; ++i) {
      confusion[i] = 0;
      for (int worker = 0; worker < workers; ++worker) confusion[i] += tallies[worker].confusion[i];
    }
  }
  if (fault == nullptr) return;
  *fault = {0, 0, 0};
  for (int worker = 0; worker < workers; ++worker) {
    const LabelFault& part = tallies[worker].fault;
    if (part.count == 0) continue;
    if (fault->count == 0 || part.first_position < fault->first_position) {
      fault->first_position = part.first_position;
      fault->first_value = part.first_value;
    }
    fault->count += part.count;
  }
}

double weighted_count(const int64_t* counts, const double* weight, int64_t classes) {
  double total = 0.0;
  for (int64_t c = 0; c < classes; ++c) {
    if (counts[c] > 0) total += double(counts[c]) * (weight == nullptr ? 1.0 : weight[c]);
  }
  return total;
}

double confusion_weight(const int64_t* confusion, const double* weight, int64_t classes) {
  double total = 0.0;
  for (int64_t c = 0; c < classes; ++c) {
    int64_t count = 0;
    for (int64_t p = 0; p < classes; ++p) count += confusion[c * classes + p];
    if (count > 0) total += double(count) * (weight == nullptr ? 1.0 : weight[c]);
  }
  return total;
}

void write_loss(const double* partials, int64_t count, Reduction reduction, double denominator,
                LogitsType logits_type, void* loss) {
  double total = 0.0;
  for (int64_t i = 0; i < count; ++i) total += partials[i];
  if (reduction == Reduction::kMean) total = mean_of(total, denominator);
  if (logits_type == LogitsType::kFloat64) {
    *static_cast<double*>(loss) = total;
  } else {
    *static_cast<float*>(loss) = float(total);
  }
}

}  // namespace tomolift
