// Random number generators apart from the default ones.
#pragma once
#include <cstddef>
#include <cstdint>

extern "C" {

// The state of a CPU generator after manual_seed, in `out`. Returns 0, or 1 with `error` set.
int inkdrop_generator(uint64_t seed, void **out, char **error);

// Draws N(0, 1), f32, and updates `state` in place.
int inkdrop_generator_normal(const void *state, const int64_t *shape, size_t axes, void **out,
                             char **error);

}
