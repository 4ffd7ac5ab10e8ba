// A backend of c10d that passes all collectives on to another one, and measures its all-reduces.
#pragma once
#include <torch/csrc/distributed/c10d/Backend.hpp>

#include <chrono>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>
#include <vector>

namespace inkdrop {
using Clock = std::chrono::steady_clock;

// One all-reduce: the times of its start and of its end on the host, and its size.
struct AllReduce {
  Clock::time_point start;
  std::optional<Clock::time_point> end;
  int64_t bytes = 0;
};

// The all-reduces since the last `take`.
class AllReduces {
  std::mutex mutex_;
  std::vector<std::shared_ptr<AllReduce>> started_;

public:
  // Beyond this many nobody takes them.
  static constexpr size_t MOST = 4096;

  std::shared_ptr<AllReduce> add(int64_t bytes) {
    auto one = std::make_shared<AllReduce>(AllReduce{Clock::now(), std::nullopt, bytes});
    std::lock_guard<std::mutex> lock(mutex_);
    if (started_.size() < MOST) started_.push_back(one);
    return one;
  }

  void end(AllReduce &one) {
    std::lock_guard<std::mutex> lock(mutex_);
    one.end = Clock::now();
  }

  // In the order of their starts. Those that are waited for may not have been told of their end yet: it is now.
  std::vector<AllReduce> take() {
    std::lock_guard<std::mutex> lock(mutex_);
    std::vector<AllReduce> all;
    for (const auto &one : started_) all.push_back({one->start, one->end.value_or(Clock::now()), one->bytes});
    started_.clear();
    return all;
  }
};

class Measured : public c10d::Backend {
  c10::intrusive_ptr<c10d::Backend> inner_;
  std::shared_ptr<AllReduces> all_;

public:
  Measured(c10::intrusive_ptr<c10d::Backend> inner, std::shared_ptr<AllReduces> all)
      : Backend(inner->getRank(), inner->getSize()), inner_(std::move(inner)), all_(std::move(all)) {}

  const std::string getBackendName() const override { return inner_->getBackendName(); }

  c10::intrusive_ptr<c10d::Work> allreduce(std::vector<at::Tensor> &tensors,
                                           const c10d::AllreduceOptions &options) override {
    int64_t bytes = 0;
    for (const at::Tensor &tensor : tensors) bytes += static_cast<int64_t>(tensor.nbytes());
    auto one = all_->add(bytes);
    auto work = inner_->allreduce(tensors, options);
    work->getFuture()->addCallback([all = all_, one](c10::ivalue::Future &) { all->end(*one); });
    return work;
  }

  c10::intrusive_ptr<c10d::Work> broadcast(std::vector<at::Tensor> &tensors,
                                           const c10d::BroadcastOptions &options) override {
    return inner_->broadcast(tensors, options);
  }

  c10::intrusive_ptr<c10d::Work> allgather(std::vector<std::vector<at::Tensor>> &outputs,
                                           std::vector<at::Tensor> &inputs,
                                           const c10d::AllgatherOptions &options) override {
    return inner_->allgather(outputs, inputs, options);
  }
};
} // namespace inkdrop
