// What an optimiser does to many tensors, in one call each. C only; every function returns 0, or 1
// with `error` set (see shim.h). Lists of one call have the same length, device and kind.
#pragma once
#include <cstddef>

extern "C" {

// One step of Adam with decoupled weight decay. `step` is one f32: the number of this step, from 1.
// Where `skip`, unless null, is an f32 of 1, nothing changes.
int inkdrop_adamw(const void *const *parameters, const void *const *gradients,
                  const void *const *means, const void *const *squares, size_t count,
                  const void *step, double lr, double beta1, double beta2, double weight_decay,
                  double eps, const void *skip, char **error);

// from[i] += share * (to[i] - from[i]).
int inkdrop_lerp_all(const void *const *from, const void *const *to, size_t count, double share,
                     char **error);

// The norm of all numbers of all tensors: a tensor of no axes.
int inkdrop_norm_of_all(const void *const *tensors, size_t count, void **out, char **error);

// Frees the gradients of all tensors.
int inkdrop_free_gradients(const void *const *tensors, size_t count, char **error);

// tensors[i] *= factor, a tensor of no axes.
int inkdrop_scale_all(const void *const *tensors, size_t count, const void *factor, char **error);
}
