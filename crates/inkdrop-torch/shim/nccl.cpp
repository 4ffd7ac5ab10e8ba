// NCCL behind c10d's interface.
//
// libtorch's ProcessGroupNCCL needs the headers of CUDA and of NCCL, and a build of libtorch with them. The
// functions of NCCL have a C interface that is stable since 2.10, so they are looked up by name in libnccl.so.2.
// Streams and events go through libtorch_cpu's interfaces, as in cuda.cpp.

#include "nccl.h"
#include "distributed.h"
#include "group.h"
#include "guard.h"
#include "text.h"

#include <c10/core/StreamGuard.h>

#ifndef _WIN32
#include <dlfcn.h>
#endif

#include <algorithm>
#include <cstring>
#include <utility>

namespace inkdrop {
namespace {
constexpr int OLDEST_VERSION = 21000; // 2.10: bfloat16
constexpr int SUM = 0;                // ncclSum
constexpr int IN_PROGRESS = 7;        // ncclInProgress

std::string version_text(int version) {
  const bool older = version < 10000; // before 2.9
  const int major = version / (older ? 1000 : 10000), minor = version % (older ? 1000 : 10000) / 100;
  return c10::str(major, ".", minor, ".", version % 100);
}

// ncclDataType_t.
int type_of(at::ScalarType type) {
  switch (type) {
  case at::kChar:
    return 0;
  case at::kByte:
  case at::kBool:
    return 1;
  case at::kInt:
    return 2;
  case at::kLong:
    return 4;
  case at::kHalf:
    return 6;
  case at::kFloat:
    return 7;
  case at::kDouble:
    return 8;
  case at::kBFloat16:
    return 9;
  default:
    TORCH_CHECK(false, "NCCL has no type for ", type);
  }
}

#ifdef _WIN32
NcclLibrary open_library() { TORCH_CHECK(false, "NCCL exists on Linux only"); }
#else
template <typename Function>
void find(void *library, Function &function, const char *name) {
  function = reinterpret_cast<Function>(dlsym(library, name));
  TORCH_CHECK(function != nullptr, "libnccl.so.2 has no function ", name, ": is it NCCL 2.10 or later?");
}

// The release of libtorch from PyTorch's site contains NCCL; the one from PyPI loads libnccl.so.2.
void *library_with_nccl(std::string &reason) {
  if (void *library = dlopen("libnccl.so.2", RTLD_NOW | RTLD_LOCAL)) return library;
  if (const char *error = dlerror()) reason = error;
  return dlsym(RTLD_DEFAULT, "ncclGetUniqueId") == nullptr ? nullptr : dlopen(nullptr, RTLD_NOW);
}

NcclLibrary open_library() {
  std::string reason;
  void *library = library_with_nccl(reason);
  TORCH_CHECK(library != nullptr,
              "NCCL was not found: libnccl.so.2 is neither on the library path (LD_LIBRARY_PATH, ld.so.cache) nor "
              "part of libtorch_cuda.so (", reason, ")");
  NcclLibrary all{};
  find(library, all.get_version, "ncclGetVersion");
  Dl_info info{};
  all.path = "libnccl.so.2";
  if (dladdr(reinterpret_cast<void *>(all.get_version), &info) != 0) all.path = info.dli_fname;
  int version = 0;
  TORCH_CHECK(all.get_version(&version) == 0, all.path, " does not tell its version");
  TORCH_CHECK(version >= OLDEST_VERSION, all.path, " is NCCL ", version_text(version), ": expected 2.10 or later");
  find(library, all.get_unique_id, "ncclGetUniqueId");
  find(library, all.init_rank, "ncclCommInitRank");
  find(library, all.all_reduce, "ncclAllReduce");
  find(library, all.broadcast, "ncclBroadcast");
  find(library, all.all_gather, "ncclAllGather");
  find(library, all.async_error, "ncclCommGetAsyncError");
  find(library, all.abort, "ncclCommAbort");
  find(library, all.destroy, "ncclCommDestroy");
  find(library, all.error_string, "ncclGetErrorString");
  all.works_on_cpus = dlsym(library, "inkdropNcclStub") != nullptr;
  return all;
}
#endif

// A collective that has been started. Its future makes the streams that wait for it wait for the stream of the
// communicator.
class Started : public c10d::Work {
  c10::intrusive_ptr<c10::ivalue::Future> future_;

public:
  Started(int rank, c10d::OpType type, c10::intrusive_ptr<c10::ivalue::Future> future)
      : Work(rank, type), future_(std::move(future)) {}
  bool isCompleted() override { return future_->completed(); }
  bool isSuccess() const override { return !future_->hasError(); }
  bool wait(std::chrono::milliseconds) override {
    future_->wait();
    return true;
  }
  void synchronize() override { future_->wait(); }
  c10::intrusive_ptr<c10::ivalue::Future> getFuture() override { return future_; }
  std::vector<at::Tensor> result() override { return future_->value().toTensorVector(); }
};
} // namespace

const NcclLibrary &NcclLibrary::get() {
  static const NcclLibrary library = open_library(); // what throws here is tried again
  return library;
}

void NcclLibrary::check(int code, const char *what) const {
  TORCH_CHECK(code == 0 || code == IN_PROGRESS, what, " failed in NCCL: ", error_string(code));
}

Nccl::Nccl(int rank, int size, const NcclId &id, c10::Device device)
    : Backend(rank, size), library_(NcclLibrary::get()), device_(device) {
  TORCH_CHECK(device.is_cuda() || library_.works_on_cpus, "NCCL works on GPUs, the tensors are on the device ", device);
  std::optional<c10::OptionalDeviceGuard> guard;
  if (device.is_cuda()) {
    guard.emplace(device);
    stream_ = c10::impl::VirtualGuardImpl(device.type()).getStreamFromGlobalPool(device, /*isHighPriority=*/true);
  }
  library_.check(library_.init_rank(&comm_, size, id, rank), "ncclCommInitRank");
}

Nccl::~Nccl() {
  // After an abort the communicator is gone. ncclCommDestroy would wait for processes that ended first.
  if (!aborted_.empty() || comm_ == nullptr) return;
  bool idle = false;
  try {
    idle = oldest() == std::chrono::milliseconds::zero();
  } catch (...) {
  }
  (idle ? library_.destroy : library_.abort)(comm_);
}

void Nccl::check_alive() {
  std::lock_guard<std::mutex> lock(state_);
  TORCH_CHECK(aborted_.empty(), "the communicator of NCCL was aborted: ", aborted_);
}

void Nccl::check_device(const std::vector<at::Tensor> &tensors) const {
  for (const at::Tensor &tensor : tensors) {
    TORCH_CHECK(tensor.device() == device_, "a tensor is on ", tensor.device(), ", the communicator on ", device_);
    TORCH_CHECK(tensor.is_non_overlapping_and_dense(), "NCCL needs dense tensors");
  }
}

// The streams wait for each other; the host waits for none of them.
void Nccl::run_on_stream(const std::vector<at::Tensor> &used, const char *what, const Call &call,
                         const std::function<void()> &after) {
  const c10::impl::VirtualGuardImpl streams(device_.type());
  c10::Event ready(device_.type());
  ready.record(streams.getStream(device_));
  ready.block(*stream_);
  // The memory of the tensors must not be used again before the stream is done with it.
  for (const at::Tensor &tensor : used) tensor.record_stream(*stream_);
  library_.check(call(streams.getStreamNativeHandle(*stream_)), what);
  after();
  auto done = std::make_shared<c10::Event>(device_.type());
  done->record(*stream_);
  std::lock_guard<std::mutex> lock(state_);
  pending_.push_back({Clock::now(), std::move(done)});
}

void Nccl::run_on_host(const char *what, const Call &call, const std::function<void()> &after) {
  {
    std::lock_guard<std::mutex> lock(state_);
    pending_.push_back({Clock::now(), nullptr});
  }
  const int code = call(nullptr);
  {
    std::lock_guard<std::mutex> lock(state_);
    pending_.pop_back(); // calls follow one another
  }
  check_alive();
  library_.check(code, what);
  after();
}

c10::intrusive_ptr<c10d::Work> Nccl::start(c10d::OpType type, const std::vector<at::Tensor> &used,
                                           std::vector<at::Tensor> result, const char *what, const Call &call,
                                           const std::function<void()> &after) {
  check_device(used);
  std::lock_guard<std::timed_mutex> one_at_a_time(calls_);
  check_alive();
  const auto list = c10::ListType::create(c10::TensorType::get());
  if (!stream_) {
    run_on_host(what, call, after);
    auto future = c10::make_intrusive<c10::ivalue::Future>(list);
    future->markCompleted(std::move(result));
    return c10::make_intrusive<Started>(getRank(), type, std::move(future));
  }
  const c10::OptionalDeviceGuard device(device_);
  auto future = c10::make_intrusive<c10::ivalue::Future>(list, std::vector<c10::Device>{device_});
  run_on_stream(used, what, call, [&] {
    const c10::StreamGuard on(*stream_);
    after();
  });
  const c10::StreamGuard on(*stream_); // the future records its events there
  future->markCompleted(std::move(result));
  return c10::make_intrusive<Started>(getRank(), type, std::move(future));
}

c10::intrusive_ptr<c10d::Work> Nccl::allreduce(std::vector<at::Tensor> &tensors,
                                               const c10d::AllreduceOptions &options) {
  TORCH_CHECK(tensors.size() == 1, "one tensor at a time");
  TORCH_CHECK(options.reduceOp == c10d::ReduceOp::SUM, "all-reduce: expected a sum");
  const at::Tensor x = tensors[0];
  return start(c10d::OpType::ALLREDUCE, {x}, {x}, "the all-reduce", [&](void *stream) {
    return library_.all_reduce(x.data_ptr(), x.data_ptr(), static_cast<size_t>(x.numel()), type_of(x.scalar_type()),
                               SUM, comm_, stream);
  });
}

c10::intrusive_ptr<c10d::Work> Nccl::broadcast(std::vector<at::Tensor> &tensors,
                                               const c10d::BroadcastOptions &options) {
  TORCH_CHECK(tensors.size() == 1, "one tensor at a time");
  const at::Tensor x = tensors[0];
  return start(c10d::OpType::BROADCAST, {x}, {x}, "the broadcast", [&](void *stream) {
    return library_.broadcast(x.data_ptr(), x.data_ptr(), static_cast<size_t>(x.numel()), type_of(x.scalar_type()),
                              static_cast<int>(options.rootRank), comm_, stream);
  });
}

c10::intrusive_ptr<c10d::Work> Nccl::allgather(std::vector<std::vector<at::Tensor>> &outputs,
                                               std::vector<at::Tensor> &inputs, const c10d::AllgatherOptions &) {
  TORCH_CHECK(inputs.size() == 1 && outputs.size() == 1, "one tensor at a time");
  TORCH_CHECK(outputs[0].size() == static_cast<size_t>(getSize()), "all-gather: expected one output per process");
  const at::Tensor own = inputs[0].contiguous();
  std::vector<int64_t> shape{getSize()};
  shape.insert(shape.end(), own.sizes().begin(), own.sizes().end());
  const at::Tensor all = at::empty(shape, own.options());
  const auto call = [&](void *stream) {
    return library_.all_gather(own.data_ptr(), all.data_ptr(), static_cast<size_t>(own.numel()),
                               type_of(own.scalar_type()), comm_, stream);
  };
  const auto copy = [&] {
    for (int64_t rank = 0; rank < getSize(); rank++) outputs[0][static_cast<size_t>(rank)].copy_(all[rank]);
  };
  return start(c10d::OpType::ALLGATHER, {own, all}, outputs[0], "the all-gather", call, copy);
}

std::chrono::milliseconds Nccl::oldest() {
  std::lock_guard<std::mutex> lock(state_);
  const auto ended = [](const Pending &one) { return one.done && one.done->query(); };
  pending_.erase(std::remove_if(pending_.begin(), pending_.end(), ended), pending_.end());
  if (pending_.empty()) return std::chrono::milliseconds::zero();
  return std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now() - pending_.front().start);
}

std::string Nccl::async_error() {
  std::lock_guard<std::mutex> lock(state_); // `abort` frees the communicator after it has had this lock
  if (!aborted_.empty()) return {};
  int error = 0;
  library_.check(library_.async_error(comm_, &error), "ncclCommGetAsyncError");
  return error == 0 || error == IN_PROGRESS ? std::string() : library_.error_string(error);
}

void Nccl::abort(const std::string &reason) {
  // A call that blocks is ended by the abort; one that is about to begin must not meet a freed communicator.
  std::unique_lock<std::timed_mutex> calls(calls_, std::chrono::seconds(1));
  {
    std::lock_guard<std::mutex> lock(state_);
    if (!aborted_.empty()) return;
    aborted_ = reason;
  }
  library_.check(library_.abort(comm_), "ncclCommAbort");
}
} // namespace inkdrop

namespace {
inkdrop::Nccl &nccl_of(void *group) {
  const auto &nccl = static_cast<inkdrop::Group *>(group)->nccl;
  TORCH_CHECK(nccl, "the group has no communicator of NCCL");
  return *nccl;
}
} // namespace

int inkdrop_nccl_id(char *id, char **error) noexcept {
  return guarded(error, [&] {
    const inkdrop::NcclLibrary &library = inkdrop::NcclLibrary::get();
    if (id == nullptr) return;
    inkdrop::NcclId made{};
    library.check(library.get_unique_id(&made), "ncclGetUniqueId");
    std::memcpy(id, made.bytes.data(), made.bytes.size());
  });
}

int inkdrop_group_add_nccl(void *group, const char *id, int device, char **error) noexcept {
  return guarded(error, [&] {
    auto &known = *static_cast<inkdrop::Group *>(group);
    inkdrop::NcclId same{};
    std::memcpy(same.bytes.data(), id, same.bytes.size());
    const auto where = device < 0 ? c10::Device(c10::kCPU) : c10::Device(c10::kCUDA, static_cast<int8_t>(device));
    const auto &all = known.group;
    known.nccl = c10::make_intrusive<inkdrop::Nccl>(all->getRank(), all->getSize(), same, where);
    all->setBackend(where.type(), c10d::ProcessGroup::BackendType::NCCL,
                    c10::make_intrusive<inkdrop::Measured>(known.nccl, known.all_reduces));
  });
}

int inkdrop_group_nccl_state(void *group, int64_t *oldest_ms, char **found, char **error) noexcept {
  return guarded(error, [&] {
    inkdrop::Nccl &nccl = nccl_of(group);
    *oldest_ms = nccl.oldest().count();
    const std::string text = nccl.async_error();
    *found = text.empty() ? nullptr : inkdrop_text(text.data(), text.size());
  });
}

int inkdrop_group_nccl_abort(void *group, const char *reason, char **error) noexcept {
  return guarded(error, [&] { nccl_of(group).abort(reason); });
}
