#include "isa.h"

#include <cstdlib>
#include <cstring>
#include <stdexcept>
#include <string>

namespace tomolift {
namespace {

Isa widest_isa() {
#if defined(TOMOLIFT_X86_64)
  __builtin_cpu_init();
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
                    __builtin_cpu_supports("f16c");
  const bool avx512 = avx2 && __builtin_cpu_supports("avx512f") &&
                      __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
                      __builtin_cpu_supports("avx512vl");
  return avx512 ? Isa::kAvx512 : avx2 ? Isa::kAvx2 : Isa::kBaseline;
#else
  return Isa::kBaseline;
#endif
}

// TOMOLIFT_CPU_ISA asks for a narrower one, so that every path can be tested on one machine.
Isa chosen_isa() {
  const Isa widest = widest_isa();
  const char* wanted = std::getenv("TOMOLIFT_CPU_ISA");
  if (wanted == nullptr) return widest;
  for (const Isa isa : {Isa::kBaseline, Isa::kAvx2, Isa::kAvx512}) {
    if (std::strcmp(wanted, isa_name(isa)) == 0 && isa <= widest) return isa;
  }
  throw std::invalid_argument(std::string("TOMOLIFT_CPU_ISA is '") + wanted +
                              "', expected baseline, avx2 or avx512, as far as this processor has "
                              "it (" +
                              isa_name(widest) + " at most): unset it");
}

}  // namespace

Isa best_isa() {
  static const Isa best = chosen_isa();
  return best;
}

const char* isa_name(Isa isa) {
  switch (isa) {
    case Isa::kAvx512:
      return "avx512";
    case Isa::kAvx2:
      return "avx2";
    case Isa::kBaseline:
      break;
  }
  return "baseline";
}

}  // namespace tomolift
