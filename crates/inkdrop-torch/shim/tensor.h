// Tensors behind the pointers that Rust passes.
#pragma once
#include <ATen/core/Tensor.h>

inline const at::Tensor &tensor(const void *pointer) {
  return *static_cast<const at::Tensor *>(pointer);
}
