// Levels of forward-mode differentiation.
#pragma once
#include <cstdint>

extern "C" {

// Enters a level; libtorch has one for the whole process. Returns 0, or 1 with `error` set.
int inkdrop_enter_dual_level(int64_t *level, char **error);

// Leaves it; tangents of the level are gone.
int inkdrop_exit_dual_level(int64_t level, char **error);

}
