// What Rust sees of the shim: C only, no exception leaves it.
#pragma once
#include <cstddef>

extern "C" {

// Runs a closure of Rust's on `count` tensors; `again` is 1 in the second pass.
// Returns 0 and an owned at::Tensor in `out`, or 1 and a text made with inkdrop_text in `error`.
typedef int (*inkdrop_run)(void *state, const void *const *tensors, size_t count, int again,
                           void **out, char **error);
typedef void (*inkdrop_drop)(void *state);

// One pass that keeps only its tensors and runs again in the backward pass.
// The first `inputs` of the `count` tensors go to the closure; gradients reach all of them.
// Takes `state` in every case. Returns 0, or 1 with `error` set.
int inkdrop_checkpoint(void *state, inkdrop_run run, inkdrop_drop drop, const void *const *tensors,
                       size_t inputs, size_t count, int random, void **out, char **error);

// True if f32 convolutions and matrix products on a GPU may use TF32.
int inkdrop_set_tf32(int allowed, char **error);

}
