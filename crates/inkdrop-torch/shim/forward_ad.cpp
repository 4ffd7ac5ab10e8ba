// Levels of forward-mode differentiation.

#include "forward_ad.h"
#include "guard.h"

#include <torch/csrc/autograd/forward_grad.h>

int inkdrop_enter_dual_level(int64_t *level, char **error) {
  return guarded(error, [&] {
    *level = static_cast<int64_t>(torch::autograd::ForwardADLevel::get_next_idx());
  });
}

int inkdrop_exit_dual_level(int64_t level, char **error) {
  return guarded(error, [&] {
    torch::autograd::ForwardADLevel::release_idx(static_cast<uint64_t>(level));
  });
}
