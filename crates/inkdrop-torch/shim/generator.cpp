// Random number generators apart from the default ones.

#include "generator.h"
#include "guard.h"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>

int inkdrop_generator(uint64_t seed, void **out, char **error) {
  return guarded(error, [&] {
    *out = new at::Tensor(at::detail::createCPUGenerator(seed).get_state());
  });
}

int inkdrop_generator_normal(const void *state, const int64_t *shape, size_t axes, void **out,
                             char **error) {
  return guarded(error, [&] {
    auto generator = at::detail::createCPUGenerator();
    at::Tensor kept = *static_cast<const at::Tensor *>(state);
    generator.set_state(kept);
    auto drawn = at::randn({shape, axes}, generator, at::TensorOptions(at::kFloat));
    kept.copy_(generator.get_state());
    *out = new at::Tensor(drawn);
  });
}
