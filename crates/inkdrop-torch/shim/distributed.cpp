#include "distributed.h"
#include "group.h"
#include "guard.h"
#include "text.h"

#include <ATen/ATen.h>
#include <c10/util/Logging.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/csrc/distributed/c10d/PrefixStore.hpp>
#include <torch/csrc/distributed/c10d/ProcessGroupGloo.hpp>
#include <torch/csrc/distributed/c10d/TCPStore.hpp>
#include <torch/csrc/distributed/c10d/comm.hpp>
#include <torch/csrc/distributed/c10d/reducer.hpp>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <limits>
#include <mutex>
#include <numeric>
#include <string>
#include <vector>

namespace {
using StorePointer = c10::intrusive_ptr<c10d::Store>;
using GroupPointer = c10::intrusive_ptr<c10d::ProcessGroup>;
using std::chrono::milliseconds;

StorePointer &store_of(void *store) { return *static_cast<StorePointer *>(store); }
inkdrop::Group &handle_of(void *group) { return *static_cast<inkdrop::Group *>(group); }
GroupPointer &group_of(void *group) { return handle_of(group).group; }

// c10d prints stack traces of errors that it also throws. TORCH_CPP_LOG_LEVEL brings them back.
void quiet() {
  constexpr int fatal = 3;
  if (std::getenv("TORCH_CPP_LOG_LEVEL") == nullptr) FLAGS_caffe2_log_level = fatal;
}

// Starts collectives one after the other. c10d's flight recorder notes the groups of a process in a map without a
// lock (FlightRecorder::recordWithResetEnabled of libtorch 2.11), so that groups of several threads break it.
class Gloo : public c10d::ProcessGroupGloo {
  static std::mutex &lock() {
    static std::mutex mutex;
    return mutex;
  }

public:
  using c10d::ProcessGroupGloo::ProcessGroupGloo;

  c10::intrusive_ptr<c10d::Work> allreduce(std::vector<at::Tensor> &tensors,
                                           const c10d::AllreduceOptions &options) override {
    std::lock_guard<std::mutex> guard(lock());
    return ProcessGroupGloo::allreduce(tensors, options);
  }

  c10::intrusive_ptr<c10d::Work> broadcast(std::vector<at::Tensor> &tensors,
                                           const c10d::BroadcastOptions &options) override {
    std::lock_guard<std::mutex> guard(lock());
    return ProcessGroupGloo::broadcast(tensors, options);
  }

  c10::intrusive_ptr<c10d::Work> allgather(std::vector<std::vector<at::Tensor>> &outputs,
                                           std::vector<at::Tensor> &inputs,
                                           const c10d::AllgatherOptions &options) override {
    std::lock_guard<std::mutex> guard(lock());
    return ProcessGroupGloo::allgather(outputs, inputs, options);
  }
};

std::vector<at::Tensor> tensors_of(const void *const *tensors, size_t count) {
  std::vector<at::Tensor> list;
  list.reserve(count);
  for (size_t i = 0; i < count; i++) list.push_back(*static_cast<const at::Tensor *>(tensors[i]));
  return list;
}
at::Tensor summed(const GroupPointer &group, const at::Tensor &x) {
  std::vector<at::Tensor> one{x.clone(at::MemoryFormat::Contiguous)};
  group->allreduce(one)->wait();
  return one[0];
}

struct Sum : torch::autograd::Function<Sum> {
  static at::Tensor forward(torch::autograd::AutogradContext *context, const at::Tensor &x, GroupPointer group) {
    context->saved_data["group"] = c10::IValue::make_capsule(group);
    return summed(group, x);
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext *context,
                                                 const torch::autograd::variable_list &upstream) {
    refuse_create_graph("a sum over processes");
    auto capsule = context->saved_data["group"].toCapsule();
    return {summed(c10::static_intrusive_pointer_cast<c10d::ProcessGroup>(capsule), upstream[0]), {}};
  }
};
} // namespace

int inkdrop_store_new(const char *host, uint16_t port, int serve, int64_t timeout_ms, void **store, uint16_t *bound,
                      char **error) noexcept {
  return guarded(error, [&] {
    quiet();
    c10d::TCPStoreOptions options;
    options.port = port;
    options.isServer = serve != 0;
    options.waitWorkers = false;
    options.timeout = milliseconds(timeout_ms);
    auto tcp = c10::make_intrusive<c10d::TCPStore>(host, options);
    *bound = tcp->getPort();
    *store = new StorePointer(std::move(tcp));
  });
}

int inkdrop_store_prefix(void *store, const char *prefix, void **out, char **error) noexcept {
  return guarded(error,
                 [&] { *out = new StorePointer(c10::make_intrusive<c10d::PrefixStore>(prefix, store_of(store))); });
}

int inkdrop_store_set(void *store, const char *key, const char *value, size_t length, char **error) noexcept {
  return guarded(error, [&] { store_of(store)->set(key, std::vector<uint8_t>(value, value + length)); });
}

int inkdrop_store_get(void *store, const char *key, int64_t timeout_ms, char **value, char **error) noexcept {
  return guarded(error, [&] {
    store_of(store)->wait({key}, milliseconds(timeout_ms));
    const std::vector<uint8_t> bytes = store_of(store)->get(key);
    *value = inkdrop_text(reinterpret_cast<const char *>(bytes.data()), bytes.size());
  });
}

int inkdrop_store_has(void *store, const char *key, int *found, char **error) noexcept {
  return guarded(error, [&] { *found = store_of(store)->check({key}); });
}

int inkdrop_store_add(void *store, const char *key, int64_t amount, int64_t *sum, char **error) noexcept {
  return guarded(error, [&] { *sum = store_of(store)->add(key, amount); });
}

void inkdrop_store_drop(void *store) noexcept { delete static_cast<StorePointer *>(store); }

int inkdrop_group_new(void *store, int rank, int size, const char *address, int64_t timeout_ms, void **group,
                      char **error) noexcept {
  return guarded(error, [&] {
    auto options = c10d::ProcessGroupGloo::Options::create(milliseconds(timeout_ms));
    options->devices.push_back(c10d::ProcessGroupGloo::createDeviceForHostname(address));
    auto gloo = c10::make_intrusive<Gloo>(store_of(store), rank, size, std::move(options));
    auto all = c10::make_intrusive<c10d::ProcessGroup>(store_of(store), rank, size);
    auto all_reduces = std::make_shared<inkdrop::AllReduces>();
    auto measured = c10::make_intrusive<inkdrop::Measured>(std::move(gloo), all_reduces);
    all->setBackend(c10::DeviceType::CPU, c10d::ProcessGroup::BackendType::GLOO, measured);
    all->setDefaultBackend(c10d::ProcessGroup::BackendType::GLOO);
    *group = new inkdrop::Group{std::move(all), std::move(all_reduces), {}};
  });
}

int inkdrop_group_all_reduce(void *group, void *tensor, char **error) noexcept {
  return guarded(error, [&] {
    const auto &nccl = handle_of(group).nccl;
    if (nccl) nccl->check_alive();
    std::vector<at::Tensor> one{*static_cast<at::Tensor *>(tensor)};
    group_of(group)->allreduce(one)->wait();
    // An abort ends the waiting for gradients, too, and leaves anything in them.
    if (nccl) nccl->check_alive();
  });
}

int inkdrop_group_sum(void *group, const void *tensor, void **out, char **error) noexcept {
  return guarded(error, [&] {
    *out = new at::Tensor(Sum::apply(*static_cast<const at::Tensor *>(tensor), group_of(group)));
  });
}

int inkdrop_group_share(void *group, void **out, char **error) noexcept {
  return guarded(error, [&] { *out = new inkdrop::Group(handle_of(group)); });
}

int inkdrop_group_broadcast(void *group, const void *const *tensors, size_t count, int root, char **error) noexcept {
  return guarded(error, [&] {
    at::NoGradGuard no_grad; // parameters are written to
    // The size that DistributedDataParallel sends at once.
    c10d::broadcast_coalesced(group_of(group), tensors_of(tensors, count), 250 * 1024 * 1024, root);
  });
}

int inkdrop_group_all_gather(void *group, const void *tensor, void *out, char **error) noexcept {
  return guarded(error, [&] {
    std::vector<std::vector<at::Tensor>> parts{static_cast<at::Tensor *>(out)->unbind(0)};
    std::vector<at::Tensor> own{*static_cast<const at::Tensor *>(tensor)};
    group_of(group)->allgather(parts, own)->wait();
  });
}

int inkdrop_group_take_all_reduces(void *group, inkdrop_all_reduce *list, size_t room, size_t *count,
                                   char **error) noexcept {
  return guarded(error, [&] {
    const auto ended = handle_of(group).all_reduces->take();
    const auto now = inkdrop::Clock::now();
    *count = std::min(room, ended.size());
    for (size_t i = 0; i < *count; i++) {
      const auto age = [&](auto time) { return std::chrono::duration<double>(now - time).count(); };
      list[i] = {age(ended[i].start), age(*ended[i].end), ended[i].bytes};
    }
  });
}

void inkdrop_group_drop(void *group) noexcept {
  try {
    delete static_cast<inkdrop::Group *>(group);
  } catch (...) {
  }
}

int inkdrop_reducer_new(void *group, const void *const *parameters, size_t count, int64_t bucket_bytes,
                        int64_t first_bucket_bytes, void **reducer, char **error) noexcept {
  return guarded(error, [&] {
    std::vector<at::Tensor> list = tensors_of(parameters, count);
    // Gradients come in the reverse order of the parameters: so do the buckets.
    std::vector<at::Tensor> reversed(list.rbegin(), list.rend());
    std::vector<int64_t> indices(count);
    std::iota(indices.rbegin(), indices.rend(), 0);
    const std::vector<size_t> limits{static_cast<size_t>(first_bucket_bytes), static_cast<size_t>(bucket_bytes)};
    auto buckets =
        std::get<0>(c10d::compute_bucket_assignment_by_size(reversed, limits, std::vector<bool>(count), indices));
    c10d::verify_params_across_processes(group_of(group), list, std::nullopt);
    *reducer = new std::shared_ptr<c10d::Reducer>(std::make_shared<c10d::Reducer>(
        list, buckets, group_of(group), std::vector<bool>(count), bucket_bytes,
        /*find_unused_parameters=*/false, /*gradient_as_bucket_view=*/true, std::unordered_map<size_t, std::string>(),
        first_bucket_bytes, /*skip_all_reduce_unused_params=*/false, /*use_python_reducer=*/false,
        std::vector<int64_t>()));
  });
}

int inkdrop_reducer_prepare(void *reducer, char **error) noexcept {
  return guarded(error, [&] {
    auto &known = *static_cast<std::shared_ptr<c10d::Reducer> *>(reducer);
    known->rebuild_buckets();
    known->prepare_for_backward({});
  });
}

void inkdrop_reducer_drop(void *reducer) noexcept {
  try {
    delete static_cast<std::shared_ptr<c10d::Reducer> *>(reducer);
  } catch (...) {
  }
}
