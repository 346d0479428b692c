// Thin binding: pointers and sizes in, nothing allocated, the interpreter lock released.
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <array>
#include <string>

#include "../cpu/isa.h"
#include "tomolift/huge_pages.h"
#include "tomolift/scale_gradient.h"
#include "tomolift/upsampled_cross_entropy.h"
#include "tomolift/voxel_cross_entropy.h"

namespace py = pybind11;

namespace tomolift {
namespace {

template <typename T>
T* pointer(uintptr_t address) {
  return reinterpret_cast<T*>(address);
}

CrossEntropyOptions make_options(int logits_type, int label_type, int reduction,
                                 bool has_ignore_index, int64_t ignore_index,
                                 double label_smoothing) {
  return {static_cast<LogitsType>(logits_type),
          static_cast<LabelType>(label_type),
          static_cast<Reduction>(reduction),
          has_ignore_index,
          ignore_index,
          label_smoothing};
}

DenseShape make_dense_shape(const std::array<int64_t, 6>& s) {
  return {s[0], s[1], s[2], s[3], s[4], s[5]};
}

// 2 + 3 + 3 sizes, 2 + 3 strides: the fields of UpsampledShape in order
UpsampledShape make_upsampled_shape(const std::array<int64_t, 13>& s, int sampling,
                                    const std::array<double, 3>& stride) {
  return {s[0],
          s[1],
          {s[2], s[3], s[4]},
          {s[5], s[6], s[7]},
          s[8],
          s[9],
          {s[10], s[11], s[12]},
          static_cast<Sampling>(sampling),
          {stride[0], stride[1], stride[2]}};
}

// Addresses in the order of DenseBuffers: logits, labels, weight, grad_output, known_denominator,
// workspace, loss, gradient, confusion, denominator, fault.
using Addresses = std::array<uintptr_t, 11>;

DenseBuffers make_dense_buffers(const Addresses& a, bool grad_output_per_voxel) {
  return {pointer<void>(a[0]),    pointer<void>(a[1]),   pointer<double>(a[2]),
          pointer<void>(a[3]),    grad_output_per_voxel, pointer<double>(a[4]),
          pointer<void>(a[5]),    pointer<void>(a[6]),   pointer<void>(a[7]),
          pointer<int64_t>(a[8]), pointer<double>(a[9]), pointer<LabelFault>(a[10])};
}

UpsampledBuffers make_upsampled_buffers(const Addresses& a, bool grad_output_per_voxel,
                                        uintptr_t predictions) {
  return {pointer<void>(a[0]),          pointer<void>(a[1]),   pointer<double>(a[2]),
          pointer<void>(a[3]),          grad_output_per_voxel, pointer<double>(a[4]),
          pointer<void>(a[5]),          pointer<void>(a[6]),   pointer<void>(a[7]),
          pointer<int64_t>(a[8]),       pointer<double>(a[9]), pointer<LabelFault>(a[10]),
          pointer<uint8_t>(predictions)};
}

#if defined(TOMOLIFT_WITH_CUDA)
void require_success(const char* op, int error) {
  if (error == 0) return;
  throw std::runtime_error(std::string(op) + ": CUDA says " + cuda_error_message(error));
}

void dense_cuda(const std::array<int64_t, 6>& shape, const CrossEntropyOptions& options,
                const Addresses& addresses, bool grad_output_per_voxel, uintptr_t stream) {
  const int error = voxel_cross_entropy_cuda(make_dense_shape(shape), options,
                                             make_dense_buffers(addresses, grad_output_per_voxel),
                                             pointer<void>(stream));
  require_success("voxel_cross_entropy", error);
}

void upsampled_cuda(const std::array<int64_t, 13>& shape, int sampling,
                    const std::array<double, 3>& stride, const CrossEntropyOptions& options,
                    const Addresses& addresses, bool grad_output_per_voxel, uintptr_t predictions,
                    uintptr_t stream) {
  const int error = upsampled_cross_entropy_cuda(
      make_upsampled_shape(shape, sampling, stride), options,
      make_upsampled_buffers(addresses, grad_output_per_voxel, predictions), pointer<void>(stream));
  require_success("upsampled_cross_entropy", error);
}

void scale_cuda(int logits_type, int64_t count, uintptr_t factor, uintptr_t gradient, uintptr_t out,
                uintptr_t stream) {
  const int error =
      scale_gradient_cuda(static_cast<LogitsType>(logits_type), count, pointer<float>(factor),
                          pointer<void>(gradient), pointer<void>(out), pointer<void>(stream));
  require_success("backward", error);
}
#endif

}  // namespace
}  // namespace tomolift

PYBIND11_MODULE(_core, m) {
  using namespace tomolift;
  using py::gil_scoped_release;
  using release = py::call_guard<gil_scoped_release>;

  py::class_<CrossEntropyOptions>(m, "CrossEntropyOptions").def(py::init(&make_options));

  m.def("advise_huge_pages",
        [](uintptr_t begin, int64_t bytes) { advise_huge_pages(pointer<void>(begin), bytes); });
  m.def("dense_cpu_workspace", [](const std::array<int64_t, 6>& shape, int threads) {
    return voxel_cross_entropy_cpu_workspace(make_dense_shape(shape), threads);
  });
  m.def(
      "dense_cpu",
      [](const std::array<int64_t, 6>& shape, const CrossEntropyOptions& options,
         const Addresses& addresses, bool grad_output_per_voxel, int threads) {
        voxel_cross_entropy_cpu(make_dense_shape(shape), options,
                                make_dense_buffers(addresses, grad_output_per_voxel), threads);
      },
      release());
  m.def("upsampled_cpu_workspace",
        [](const std::array<int64_t, 13>& shape, int sampling, const std::array<double, 3>& stride,
           const CrossEntropyOptions& options, bool want_gradient, int threads) {
          return upsampled_cross_entropy_cpu_workspace(
              make_upsampled_shape(shape, sampling, stride), options, want_gradient, threads);
        });
  m.def(
      "upsampled_cpu",
      [](const std::array<int64_t, 13>& shape, int sampling, const std::array<double, 3>& stride,
         const CrossEntropyOptions& options, const Addresses& addresses, bool grad_output_per_voxel,
         uintptr_t predictions, int threads) {
        upsampled_cross_entropy_cpu(
            make_upsampled_shape(shape, sampling, stride), options,
            make_upsampled_buffers(addresses, grad_output_per_voxel, predictions), threads);
      },
      release());

#if defined(TOMOLIFT_WITH_CUDA)
  m.attr("cuda_built") = true;
  m.attr("cuda_architectures") = TOMOLIFT_CUDA_ARCHITECTURES;
  m.def("dense_cuda_workspace", [](const std::array<int64_t, 6>& shape) {
    return voxel_cross_entropy_cuda_workspace(make_dense_shape(shape));
  });
  m.def("dense_cuda", &dense_cuda, release());
  m.def("upsampled_cuda_workspace",
        [](const std::array<int64_t, 13>& shape, int sampling, const std::array<double, 3>& stride,
           const CrossEntropyOptions& options, bool want_gradient) {
          return upsampled_cross_entropy_cuda_workspace(
              make_upsampled_shape(shape, sampling, stride), options, want_gradient);
        });
  m.def("upsampled_cuda", &upsampled_cuda, release());
  m.def("scale_gradient_cuda", &scale_cuda, release());
#else
  m.attr("cuda_built") = false;
  m.attr("cuda_architectures") = "";
#endif
  m.attr("cpu_isas_built") = TOMOLIFT_CPU_ISAS;
  m.attr("compiler") = TOMOLIFT_COMPILER;
  m.def("cpu_isa", [] { return isa_name(best_isa()); });
}
