// The scaling of a stored gradient on the emulated device.
#include <cuda_runtime.h>

#include <cmath>
#include <limits>

#include "check.h"
#include "cuda_dense_problem.h"
#include "tomolift/scale_gradient.h"

namespace {

using tomolift::LogitsType;

constexpr LogitsType kTypes[] = {LogitsType::kFloat32, LogitsType::kBFloat16, LogitsType::kFloat16};

int bytes_of(LogitsType type) { return type == LogitsType::kFloat32 ? 4 : 2; }

Buffer draw(LogitsType type, int64_t count, int64_t offset) {
  Buffer gradient(count * bytes_of(type), offset);
  for (int64_t i = 0; i < count; ++i) {
    encode(type, i % 5 == 0 ? 0.0f : float(i % 17) - 8.5f, gradient.data(), i);
  }
  return gradient;
}

void scale(LogitsType type, int64_t count, float factor, const Buffer& gradient,
           const Buffer& out) {
  const Buffer factors(4);
  *factors.as<float>() = factor;
  CHECK(tomolift::scale_gradient_cuda(type, count, factors.as<float>(), gradient.data(), out.data(),
                                      nullptr) == cudaSuccess);
}

void every_element_is_scaled_in_place_or_not() {
  for (const LogitsType type : kTypes) {
    for (const int64_t count : {1, 7, 8, 5000, 40003}) {
      for (const int64_t offset : {0, bytes_of(type)}) {
        const Buffer gradient = draw(type, count, offset);
        const Buffer out(count * bytes_of(type));
        scale(type, count, -2.0f, gradient, out);
        const Buffer in_place = gradient;
        scale(type, count, -2.0f, in_place, in_place);
        CHECK(std::memcmp(out.data(), in_place.data(), size_t(out.bytes())) == 0);
        for (int64_t i = 0; i < count; ++i) {
          CHECK(decode(type, out.data(), i) == -2.0 * decode(type, gradient.data(), i));
        }
      }
    }
  }
}

void zeros_stay_zero_under_any_factor() {
  for (const float factor : {std::numeric_limits<float>::infinity(), NAN}) {
    for (const LogitsType type : kTypes) {
      const Buffer gradient = draw(type, 64, 0);
      const Buffer out(gradient.bytes());
      scale(type, 64, factor, gradient, out);
      for (int64_t i = 0; i < 64; ++i) {
        const double value = decode(type, out.data(), i);
        CHECK(i % 5 == 0 ? value == 0.0 : !std::isfinite(value));
      }
    }
  }
}

void a_factor_of_one_copies_and_leaves_alone_in_place() {
  const Buffer gradient = draw(LogitsType::kFloat32, 4096, 0);
  const Buffer out(gradient.bytes());
  scale(LogitsType::kFloat32, 4096, 1.0f, gradient, out);
  CHECK(out.same_bytes(gradient));
  // a signalling NaN would come back quiet from an arithmetic instruction, but not unread
  const uint32_t signalling = 0x7fa00001u;
  std::memcpy(gradient.data(), &signalling, sizeof signalling);
  scale(LogitsType::kFloat32, 4096, 1.0f, gradient, gradient);
  CHECK(std::memcmp(gradient.data(), &signalling, sizeof signalling) == 0);
}

void float64_is_refused() {
  const Buffer gradient(8);
  const float factor = 1.0f;
  CHECK(tomolift::scale_gradient_cuda(LogitsType::kFloat64, 1, &factor, gradient.data(),
                                      gradient.data(), nullptr) == cudaErrorInvalidValue);
}

}  // namespace

int main() {
  every_element_is_scaled_in_place_or_not();
  zeros_stay_zero_under_any_factor();
  a_factor_of_one_copies_and_leaves_alone_in_place();
  float64_is_refused();
  return 0;
}
