// A libnccl.so.2 for the tests: the collectives of CPU memory, by files in shared memory.
//
// It blocks the host where NCCL would occupy a stream. Like NCCL, it does not notice that a process ended.
// The environment variable INKDROP_STUB_NCCL gives it faults: "version=20800", "fail=N" (call N returns an error), "async=N" (from call N
// on an error in the background, and calls that wait until the abort).

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <string>
#include <thread>
#include <vector>

namespace {
constexpr int SUCCESS = 0, SYSTEM_ERROR = 2, INTERNAL_ERROR = 3, REMOTE_ERROR = 6;

struct Id {
  char name[128];
};

// What all processes share.
struct Shared {
  std::atomic<int> arrived[2];
  std::atomic<int> round;
};

long fault(const char *name) {
  const char *text = std::getenv("INKDROP_STUB_NCCL");
  const size_t length = std::strlen(name);
  if (text == nullptr || std::strncmp(text, name, length) != 0 || text[length] != '=') return -1;
  return std::atol(text + length + 1);
}

struct Comm {
  std::string name;
  int rank, size;
  Shared *shared;
  std::atomic<bool> aborted{false}, broken{false};
  std::atomic<int> inside{0};
  long calls = 0;
  int round = 0;

  std::string file(int of) const { return name + "." + std::to_string(of); }

  // False after an abort.
  bool barrier() {
    std::atomic<int> &arrived = shared->arrived[round % 2];
    if (arrived.fetch_add(1) + 1 == size) {
      arrived = 0;
      shared->round = round + 1;
    }
    while (shared->round <= round) {
      if (aborted) return false;
      std::this_thread::sleep_for(std::chrono::microseconds(20));
    }
    round++;
    return true;
  }

  // Writes the bytes of this process, waits, and reads those of one process.
  void write(const void *bytes, size_t length) const {
    const int file_of_own = open(file(rank).c_str(), O_CREAT | O_RDWR | O_TRUNC, 0600);
    const char *from = static_cast<const char *>(bytes);
    for (size_t done = 0; done < length;) done += static_cast<size_t>(::write(file_of_own, from + done, length - done));
    close(file_of_own);
  }

  void read(int of, void *bytes, size_t length) const {
    const int file_of_other = open(file(of).c_str(), O_RDONLY);
    char *to = static_cast<char *>(bytes);
    for (size_t done = 0; done < length;) done += static_cast<size_t>(::read(file_of_other, to + done, length - done));
    close(file_of_other);
  }

  int exchange(const void *bytes, size_t length, const std::vector<int> &of, char *to) {
    if (++calls == fault("fail")) return INTERNAL_ERROR;
    if (fault("async") > 0 && calls >= fault("async")) {
      broken = true;
      while (!aborted) std::this_thread::sleep_for(std::chrono::milliseconds(1));
      return SYSTEM_ERROR;
    }
    write(bytes, length);
    if (!barrier()) return SYSTEM_ERROR;
    for (size_t i = 0; i < of.size(); i++) read(of[i], to + i * length, length);
    if (!barrier()) return SYSTEM_ERROR;
    unlink(file(rank).c_str());
    return SUCCESS;
  }
};

size_t width(int type) {
  const size_t widths[] = {1, 1, 4, 4, 8, 8, 2, 4, 8, 2};
  return widths[type];
}

std::vector<int> everyone(const Comm *comm) {
  std::vector<int> all;
  for (int rank = 0; rank < comm->size; rank++) all.push_back(rank);
  return all;
}

template <typename T>
void add(const char *all, void *to, size_t count, int size) {
  const T *from = reinterpret_cast<const T *>(all);
  T *sums = static_cast<T *>(to);
  for (size_t i = 0; i < count; i++) {
    T sum = from[i];
    for (int rank = 1; rank < size; rank++) sum += from[static_cast<size_t>(rank) * count + i];
    sums[i] = sum;
  }
}

// Counts the call, so that an abort waits for it.
struct Inside {
  Comm *comm;
  explicit Inside(void *of) : comm(static_cast<Comm *>(of)) { comm->inside++; }
  ~Inside() { comm->inside--; }
};
} // namespace

extern "C" {
#ifndef FOR_GPUS_ONLY
int inkdropNcclStub = 1; // accepts tensors on the CPU
#endif

int ncclGetVersion(int *version) {
  *version = fault("version") > 0 ? static_cast<int>(fault("version")) : 22807;
  return SUCCESS;
}

const char *ncclGetErrorString(int code) {
  return code == REMOTE_ERROR ? "remote process exited or there was a network error" : "a fault of the stub";
}

int ncclGetUniqueId(Id *id) {
  *id = {};
  std::snprintf(id->name, sizeof(id->name), "/dev/shm/inkdrop-nccl-%d-%lld", static_cast<int>(getpid()),
                static_cast<long long>(std::chrono::steady_clock::now().time_since_epoch().count()));
  return SUCCESS;
}

int ncclCommInitRank(void **made, int size, Id id, int rank) {
  const int file = open(id.name, O_CREAT | O_RDWR, 0600);
  if (file < 0 || ftruncate(file, sizeof(Shared)) != 0) return SYSTEM_ERROR;
  void *memory = mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  close(file);
  auto *comm = new Comm;
  comm->name = id.name;
  comm->rank = rank;
  comm->size = size;
  comm->shared = static_cast<Shared *>(memory);
  *made = comm;
  const bool all_are_here = comm->barrier();
  if (rank == 0) unlink(id.name); // the memory stays with those that have it
  return all_are_here ? SUCCESS : SYSTEM_ERROR;
}

int ncclAllReduce(const void *from, void *to, size_t count, int type, int, void *of, void *) {
  const Inside call(of);
  std::vector<char> all(width(type) * count * static_cast<size_t>(call.comm->size));
  const int code = call.comm->exchange(from, width(type) * count, everyone(call.comm), all.data());
  if (code != SUCCESS) return code;
  if (type == 7) add<float>(all.data(), to, count, call.comm->size);
  if (type == 8) add<double>(all.data(), to, count, call.comm->size);
  if (type == 4) add<int64_t>(all.data(), to, count, call.comm->size);
  return type == 7 || type == 8 || type == 4 ? SUCCESS : INTERNAL_ERROR;
}

int ncclBroadcast(const void *from, void *to, size_t count, int type, int root, void *of, void *) {
  const Inside call(of);
  return call.comm->exchange(from, width(type) * count, {root}, static_cast<char *>(to));
}

int ncclAllGather(const void *from, void *to, size_t count, int type, void *of, void *) {
  const Inside call(of);
  return call.comm->exchange(from, width(type) * count, everyone(call.comm), static_cast<char *>(to));
}

int ncclCommGetAsyncError(void *of, int *error) {
  *error = static_cast<Comm *>(of)->broken ? REMOTE_ERROR : SUCCESS;
  return SUCCESS;
}

int ncclCommDestroy(void *of) {
  auto *comm = static_cast<Comm *>(of);
  unlink(comm->file(comm->rank).c_str());
  munmap(comm->shared, sizeof(Shared));
  delete comm;
  return SUCCESS;
}

int ncclCommAbort(void *of) {
  auto *comm = static_cast<Comm *>(of);
  comm->aborted = true;
  while (comm->inside > 0) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  return ncclCommDestroy(comm);
}
}
