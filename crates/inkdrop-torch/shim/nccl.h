// A backend of c10d over NCCL, whose library is opened at run time.
#pragma once
#include "measured.h"

#include <ATen/core/ivalue.h>
#include <c10/core/Event.h>
#include <c10/core/impl/VirtualGuardImpl.h>

#include <array>
#include <atomic>
#include <functional>
#include <optional>
#include <string>

namespace inkdrop {

// Identifies a communicator; ncclUniqueId.
struct NcclId {
  std::array<char, 128> bytes;
};

// The functions of NCCL that are used, and the file that they come from.
struct NcclLibrary {
  int (*get_version)(int *version);
  int (*get_unique_id)(NcclId *id);
  int (*init_rank)(void **comm, int size, NcclId id, int rank);
  int (*all_reduce)(const void *from, void *to, size_t count, int type, int op, void *comm, void *stream);
  int (*broadcast)(const void *from, void *to, size_t count, int type, int root, void *comm, void *stream);
  int (*all_gather)(const void *from, void *to, size_t count, int type, void *comm, void *stream);
  int (*async_error)(void *comm, int *error);
  int (*abort)(void *comm);
  int (*destroy)(void *comm);
  const char *(*error_string)(int code);
  std::string path;
  bool works_on_cpus;

  // Throws if the library is missing or too old.
  static const NcclLibrary &get();
  void check(int code, const char *what) const;
};

// Collectives on one GPU, on a stream of their own. On the CPU only with a library of the tests.
class Nccl : public c10d::Backend {
public:
  Nccl(int rank, int size, const NcclId &id, c10::Device device);
  ~Nccl() override;

  const std::string getBackendName() const override { return "nccl"; }

  c10::intrusive_ptr<c10d::Work> allreduce(std::vector<at::Tensor> &tensors,
                                           const c10d::AllreduceOptions &options) override;
  c10::intrusive_ptr<c10d::Work> broadcast(std::vector<at::Tensor> &tensors,
                                           const c10d::BroadcastOptions &options) override;
  c10::intrusive_ptr<c10d::Work> allgather(std::vector<std::vector<at::Tensor>> &outputs,
                                           std::vector<at::Tensor> &inputs,
                                           const c10d::AllgatherOptions &options) override;

  // Age of the oldest collective that has not ended; zero without one.
  std::chrono::milliseconds oldest();
  // An error that NCCL found in the background; empty if there is none.
  std::string async_error();
  // Ends all collectives, in this process; later ones throw.
  void abort(const std::string &reason);
  // Throws after an abort.
  void check_alive();

private:
  // A collective that has been started.
  struct Pending {
    Clock::time_point start;
    std::shared_ptr<c10::Event> done; // none for one that blocks the host
  };

  using Call = std::function<int(void *stream)>;
  c10::intrusive_ptr<c10d::Work> start(c10d::OpType type, const std::vector<at::Tensor> &used,
                                       std::vector<at::Tensor> result, const char *what, const Call &call,
                                       const std::function<void()> &after = [] {});
  void check_device(const std::vector<at::Tensor> &tensors) const;
  void run_on_stream(const std::vector<at::Tensor> &used, const char *what, const Call &call,
                     const std::function<void()> &after);
  void run_on_host(const char *what, const Call &call, const std::function<void()> &after);

  const NcclLibrary &library_;
  const c10::Device device_;
  std::optional<c10::Stream> stream_;
  void *comm_ = nullptr;
  std::timed_mutex calls_; // one call of the communicator at a time, in one order
  std::mutex state_;
  std::vector<Pending> pending_;
  std::string aborted_; // the reason
};
} // namespace inkdrop
