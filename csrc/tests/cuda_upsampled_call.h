// A call of the CUDA up-sampled op on the CPU: its memory as the op finds it, and what it leaves.
#pragma once

#include "upsampled_problem.h"

// Whether the weights may be left out, which takes the kernels' shorter way.
inline bool unweighted(const UpsampledProblem& p) {
  for (const double weight : p.dense.weight) {
    if (weight != 1.0) return false;
  }
  return true;
}

// Memory as the op finds it: inputs written, outputs poisoned.
class UpsampledCall {
 public:
  explicit UpsampledCall(const UpsampledProblem& p)
      : p_(p),
        type_(p.dense.options.logits_type),
        losses_(p.dense.grad_output.size()),
        low_(p.low.size(), size_of(type_), p.dense.place, 0xff),
        labels_(p.dense.labels.size(), size_of(p.dense.options.label_type), p.dense.place, 0),
        grad_output_(losses_, sizeof(float), p.dense.place, 0),
        loss_(losses_, sizeof(float), p.dense.place, 0xff),
        gradient_(p.low.size(), sizeof(float), p.dense.place, 0xff),
        workspace_(
            tomolift::upsampled_cross_entropy_cuda_workspace(p.shape, p.dense.options, true)) {
    const tomolift::UpsampledShape& s = p.shape;
    for (size_t i = 0; i < p.low.size(); ++i) {  // by the strides, from [N, C, d, h, w]
      int64_t rest = i, offset = 0;
      for (int axis = 2; axis >= 0; --axis) {
        offset += rest % s.low_size[axis] * s.stride_axis[axis];
        rest /= s.low_size[axis];
      }
      offset += rest % s.classes * s.stride_class + rest / s.classes * s.stride_batch;
      write_element(type_, p.low[i], low_.data() + offset * size_of(type_));
    }
    for (size_t i = 0; i < p.dense.labels.size(); ++i) {
      write_label(p.dense.options.label_type, p.dense.labels[i],
                  labels_.data() + i * size_of(p.dense.options.label_type));
    }
    for (int64_t i = 0; i < losses_; ++i) {
      write_element(tomolift::LogitsType::kFloat32, p.dense.grad_output[i],
                    grad_output_.data() + i * sizeof(float));
    }
    result_.dense.confusion.assign(s.classes * s.classes, -1);
    result_.dense.denominator = kNaN;
    result_.dense.fault = {-1, -1, -1};
    result_.predictions.assign(p.dense.labels.size(), 0xff);
  }

  tomolift::UpsampledBuffers buffers() {
    DenseResult& d = result_.dense;
    return {low_.data(),
            labels_.data(),
            unweighted(p_) ? nullptr : p_.dense.weight.data(),
            grad_output_.data(),
            losses_ > 1,
            nullptr,
            workspace_.data(),
            loss_.data(),
            gradient_.data(),
            d.confusion.data(),
            &d.denominator,
            &d.fault,
            nullptr};
  }

  void enqueue(const tomolift::UpsampledBuffers& buffers) {
    CHECK(tomolift::upsampled_cross_entropy_cuda(p_.shape, p_.dense.options, buffers, nullptr) ==
          0);
  }

  void predict() {
    Workspace smaller(
        tomolift::upsampled_cross_entropy_cuda_workspace(p_.shape, p_.dense.options, false));
    tomolift::UpsampledBuffers alone{};
    alone.low_logits = low_.data();
    alone.workspace = smaller.data();
    alone.predictions = result_.predictions.data();
    enqueue(alone);
  }

  UpsampledResult result() {
    const auto values = [](const Bytes& bytes, int64_t count) {
      std::vector<double> read;
      for (int64_t i = 0; i < count; ++i) {
        read.push_back(
            read_element(tomolift::LogitsType::kFloat32, bytes.data() + i * sizeof(float)));
      }
      return read;
    };
    result_.dense.loss = values(loss_, losses_);
    result_.dense.gradient = values(gradient_, p_.low.size());
    return result_;
  }

 private:
  const UpsampledProblem& p_;
  tomolift::LogitsType type_;
  int64_t losses_;
  Bytes low_, labels_, grad_output_, loss_, gradient_;
  Workspace workspace_;
  UpsampledResult result_;
};

inline UpsampledResult run_on_cuda(const UpsampledProblem& p) {
  UpsampledCall call(p);
  call.enqueue(call.buffers());
  call.predict();
  return call.result();
}
