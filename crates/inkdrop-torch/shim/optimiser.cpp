// What an optimiser does to many tensors, in one call each.

#include "optimiser.h"
#include "guard.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <optional>
#include <vector>

namespace {

std::vector<at::Tensor> list(const void *const *tensors, size_t count) {
  std::vector<at::Tensor> result;
  result.reserve(count);
  for (size_t i = 0; i < count; ++i) result.push_back(*static_cast<const at::Tensor *>(tensors[i]));
  return result;
}

}  // namespace

int inkdrop_adamw(const void *const *parameters, const void *const *gradients,
                  const void *const *means, const void *const *squares, size_t count,
                  const void *step, double lr, double beta1, double beta2, double weight_decay,
                  double eps, const void *skip, char **error) {
  return guarded(error, [&] {
    c10::AutoGradMode no_graph(false);
    const auto &steps = *static_cast<const at::Tensor *>(step);
    const std::vector<at::Tensor> same(count, steps);
    at::_fused_adamw_(list(parameters, count), list(gradients, count), list(means, count),
                      list(squares, count), {}, same, lr, beta1, beta2, weight_decay, eps,
                      /*amsgrad=*/false, /*maximize=*/false, std::nullopt,
                      skip == nullptr
                          ? std::nullopt
                          : std::optional<at::Tensor>(*static_cast<const at::Tensor *>(skip)));
  });
}

int inkdrop_lerp_all(const void *const *from, const void *const *to, size_t count, double share,
                     char **error) {
  return guarded(error, [&] {
    c10::AutoGradMode no_graph(false);
    at::_foreach_lerp_(list(from, count), list(to, count), at::Scalar(share));
  });
}

int inkdrop_norm_of_all(const void *const *tensors, size_t count, void **out, char **error) {
  return guarded(error, [&] {
    c10::AutoGradMode no_graph(false);
    const auto norms = at::_foreach_norm(list(tensors, count));
    *out = new at::Tensor(at::linalg_vector_norm(at::stack(norms)));
  });
}

int inkdrop_free_gradients(const void *const *tensors, size_t count, char **error) {
  return guarded(error, [&] {
    for (const auto &tensor : list(tensors, count)) tensor.mutable_grad() = at::Tensor();
  });
}

int inkdrop_scale_all(const void *const *tensors, size_t count, const void *factor, char **error) {
  return guarded(error, [&] {
    c10::AutoGradMode no_graph(false);
    at::_foreach_mul_(list(tensors, count), *static_cast<const at::Tensor *>(factor));
  });
}
