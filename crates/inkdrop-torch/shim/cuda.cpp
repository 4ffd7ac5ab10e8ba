// What tch does not reach of CUDA: graphs, and the memory of a GPU.
//
// This file needs no header and no library of CUDA's. One binary serves machines with and
// without a GPU, so libtorch_cuda is loaded at run time, and a library of our own that links
// to it would have to be built where CUDA's headers are, and be found beside every copy of the
// binary. Streams and memory are reached through libtorch_cpu's own interfaces, which the CUDA
// half fills in when it is loaded. at::cuda::CUDAGraph has none in 2.11, but all that is needed
// of it are five functions, which are looked up by name, and room for the object itself.
// The release is pinned (torch-sys refuses any other), so names and size cannot drift unseen;
// what is missing is a reason in words, no error of the linker's.

#include "cuda.h"
#include "guard.h"

#include <ATen/ATen.h>
#include <ATen/Context.h>
#include <ATen/Version.h>
#include <c10/core/CachingDeviceAllocator.h>
#include <c10/core/GradMode.h>
#include <c10/core/StreamGuard.h>
#include <c10/core/impl/VirtualGuardImpl.h>

#ifndef _WIN32
#include <dlfcn.h>
#endif

#include <memory>
#include <optional>

namespace {

// Far more than the object takes: 104 bytes in 2.11.0 with CUDA 13.0.
constexpr size_t ROOM = 4096;

// cudaStreamCaptureModeThreadLocal: other threads may use CUDA as they like meanwhile.
constexpr int THREAD_LOCAL = 1;

// The functions of at::cuda::CUDAGraph; a member function takes its object first.
struct Functions {
  void (*construct)(void *self, bool keep_graph);
  void (*destruct)(void *self);
  void (*begin)(void *self, c10::MempoolId_t pool, int mode);
  void (*end)(void *self);
  void (*replay)(void *self);
};

template <typename Function>
void find(Function &function, const char *name) {
#ifdef _WIN32
  function = nullptr;
#else
  function = reinterpret_cast<Function>(dlsym(RTLD_DEFAULT, name));
#endif
  TORCH_CHECK(function != nullptr, "libtorch_cuda has no function ", name,
              " (release 2.11.0 is expected)");
}

Functions look_up() {
  Functions all{};
  find(all.construct, "_ZN2at4cuda9CUDAGraphC1Eb");
  find(all.destruct, "_ZN2at4cuda9CUDAGraphD1Ev");
  find(all.begin, "_ZN2at4cuda9CUDAGraph13capture_beginESt4pairIyyE21cudaStreamCaptureMode");
  find(all.end, "_ZN2at4cuda9CUDAGraph11capture_endEv");
  find(all.replay, "_ZN2at4cuda9CUDAGraph6replayEv");
  return all;
}

const Functions &functions() {
  static const Functions all = look_up();  // what throws here is tried again
  return all;
}

c10::Device gpu(int index) {
  return c10::Device(c10::DeviceType::CUDA, static_cast<c10::DeviceIndex>(index));
}

void wait_for(c10::Device device) {
  c10::impl::VirtualGuardImpl(device.type()).synchronizeDevice(device.index());
}

struct Graph {
  c10::Device device;
  std::optional<c10::StreamGuard> aside;  // of the thread that makes the graph
  bool constructed = false;
  bool recording = false;
  bool broken = false;
  alignas(64) unsigned char object[ROOM] = {};

  explicit Graph(c10::Device device) : device(device) {}

  void enter() {
    c10::impl::VirtualGuardImpl guard(device.type());
    wait_for(device);  // inputs may still be in the making on the stream from before
    aside.emplace(guard.getStreamFromGlobalPool(device));
    functions().construct(object, false);
    constructed = true;
  }

  void begin() {
    // Blocks that the side stream has kept are of use to no other stream.
    wait_for(device);
    c10::getDeviceAllocator(device.type())->emptyCache();
    broken = true;  // until it has begun
    functions().begin(object, {0, 0}, THREAD_LOCAL);  // {0, 0}: a memory pool of its own
    broken = false;
    recording = true;
  }

  void end() {
    recording = false;
    try {
      functions().end(object);
    } catch (...) {
      broken = true;
      throw;
    }
  }

  // Leaves the stream; what fails on the way has been reported already or is of no consequence.
  void leave() noexcept {
    try {
      if (recording) end();
      wait_for(device);
    } catch (...) {
    }
    try {
      if (broken) forget_generator();
    } catch (...) {
    }
    aside.reset();
  }

  // The generator keeps taking part in a capture that broke; a copy of it does not.
  void forget_generator() const {
    auto random = at::globalContext().defaultGenerator(device);
    random.graphsafe_set_state(random.clone());
  }
};

}  // namespace

int inkdrop_grad_enabled() { return c10::GradMode::is_enabled() ? 1 : 0; }

int inkdrop_config(char **text, char **error) {
  return guarded(error, [&] {
    const std::string all = at::show_config();
    *text = inkdrop_text(all.data(), all.size());
  });
}

int inkdrop_memory(int device, int64_t *numbers, char **error) {
  return guarded(error, [&] {
    at::globalContext().lazyInitDevice(c10::DeviceType::CUDA);
    auto *allocator = c10::getDeviceAllocator(c10::DeviceType::CUDA);
    const auto [free, total] = allocator->getMemoryInfo(gpu(device).index());
    const auto stats = allocator->getDeviceStats(gpu(device).index());
    const auto all = static_cast<size_t>(c10::CachingAllocator::StatType::AGGREGATE);
    numbers[0] = static_cast<int64_t>(free);
    numbers[1] = static_cast<int64_t>(total);
    numbers[2] = stats.allocated_bytes[all].peak;
  });
}

int inkdrop_reset_peak(int device, char **error) {
  return guarded(error, [&] {
    at::globalContext().lazyInitDevice(c10::DeviceType::CUDA);
    c10::getDeviceAllocator(c10::DeviceType::CUDA)->resetPeakStats(gpu(device).index());
  });
}

int inkdrop_copy_to_gpu(const void *tensor, int device, void **out, char **error) {
  return guarded(error, [&] {
    at::globalContext().lazyInitDevice(c10::DeviceType::CUDA);  // pins for the first accelerator
    // libtorch keeps the pinned copy until the GPU has read it.
    const auto pinned = static_cast<const at::Tensor *>(tensor)->pin_memory();
    *out = new at::Tensor(pinned.to(gpu(device), pinned.scalar_type(), /*non_blocking=*/true));
  });
}

int inkdrop_graph_ready(char **error) {
  return guarded(error, [] { functions(); });
}

int inkdrop_graph_new(int device, void **graph, char **error) {
  return guarded(error, [&] {
    at::globalContext().lazyInitDevice(c10::DeviceType::CUDA);
    auto made = std::make_unique<Graph>(gpu(device));
    made->enter();
    *graph = made.release();
  });
}

int inkdrop_graph_begin(void *graph, char **error) {
  return guarded(error, [&] { static_cast<Graph *>(graph)->begin(); });
}

int inkdrop_graph_end(void *graph, char **error) {
  return guarded(error, [&] { static_cast<Graph *>(graph)->end(); });
}

int inkdrop_graph_leave(void *graph) {
  auto *made = static_cast<Graph *>(graph);
  made->leave();
  return made->broken ? 1 : 0;
}

int inkdrop_graph_replay(void *graph, char **error) {
  return guarded(error, [&] { functions().replay(static_cast<Graph *>(graph)->object); });
}

void inkdrop_graph_drop(void *graph) {
  auto *made = static_cast<Graph *>(graph);
  // Of a capture that broke, libtorch's allocator keeps a pointer to the object: it stays.
  if (made->broken) return;
  std::unique_ptr<Graph> owned(made);
  char *error = nullptr;
  if (owned->constructed) guarded(&error, [&] { functions().destruct(owned->object); });
  inkdrop_free(error);
}
