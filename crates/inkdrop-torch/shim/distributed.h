// Process groups of libtorch's c10d for Rust: store, collectives, reduction of gradients.
#pragma once
#include <cstddef>
#include <cstdint>

extern "C" {
// A client of the TCP store at host:port; with `serve` the store itself runs in this process (port 0: any).
int inkdrop_store_new(const char *host, uint16_t port, int serve, int64_t timeout_ms, void **store, uint16_t *bound,
                      char **error) noexcept;
// The same store with a prefix before each key.
int inkdrop_store_prefix(void *store, const char *prefix, void **out, char **error) noexcept;
int inkdrop_store_set(void *store, const char *key, const char *value, size_t length, char **error) noexcept;
// Waits for the key; the value is one of inkdrop_text.
int inkdrop_store_get(void *store, const char *key, int64_t timeout_ms, char **value, char **error) noexcept;
int inkdrop_store_has(void *store, const char *key, int *found, char **error) noexcept;
int inkdrop_store_add(void *store, const char *key, int64_t amount, int64_t *sum, char **error) noexcept;
void inkdrop_store_drop(void *store) noexcept;

// A Gloo group of `size` processes; `address`: the local address that the others reach.
int inkdrop_group_new(void *store, int rank, int size, const char *address, int64_t timeout_ms, void **group,
                      char **error) noexcept;
// Sum over the processes, in place.
int inkdrop_group_all_reduce(void *group, void *tensor, char **error) noexcept;
// The sum over the processes with its gradient, which is the sum of the gradients over the processes.
int inkdrop_group_sum(void *group, const void *tensor, void **out, char **error) noexcept;
// Another reference to the same group.
int inkdrop_group_share(void *group, void **out, char **error) noexcept;
// Values of process `root` into all others.
int inkdrop_group_broadcast(void *group, const void *const *tensors, size_t count, int root, char **error) noexcept;
// `out`, [size, ...]: the tensor of each process.
int inkdrop_group_all_gather(void *group, const void *tensor, void *out, char **error) noexcept;
// An all-reduce that has ended: seconds since its start and since its end, on the host, and its size.
struct inkdrop_all_reduce {
  double start, end;
  int64_t bytes;
};
// The all-reduces since the last call, at most `room`.
int inkdrop_group_take_all_reduces(void *group, inkdrop_all_reduce *list, size_t room, size_t *count,
                                   char **error) noexcept;
void inkdrop_group_drop(void *group) noexcept;

// A new identification of a communicator of NCCL, 128 bytes. Null: checks the library only.
int inkdrop_nccl_id(char *id, char **error) noexcept;
// Collectives of the group's tensors on this GPU use NCCL from now on; waits for all processes. `device`: -1 is the
// CPU, for a library of the tests.
int inkdrop_group_add_nccl(void *group, const char *id, int device, char **error) noexcept;
// Age of the oldest collective that has not ended (0 without one); an error that NCCL found in the background, a text
// of inkdrop_text, or null.
int inkdrop_group_nccl_state(void *group, int64_t *oldest_ms, char **found, char **error) noexcept;
int inkdrop_group_nccl_abort(void *group, const char *reason, char **error) noexcept;

// c10d's Reducer: averages gradients in buckets while the backward pass still runs.
int inkdrop_reducer_new(void *group, const void *const *parameters, size_t count, int64_t bucket_bytes,
                        int64_t first_bucket_bytes, void **reducer, char **error) noexcept;
int inkdrop_reducer_prepare(void *reducer, char **error) noexcept;
void inkdrop_reducer_drop(void *reducer) noexcept;
}
