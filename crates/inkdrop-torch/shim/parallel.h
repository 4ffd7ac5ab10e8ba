// Work on libtorch's own threads.
#pragma once
#include <ATen/ATen.h>
#include <ATen/TensorIterator.h>

#include <functional>

// Calls `unit(i)` for every i below `count`. at::parallel_for is a template over OpenMP, which would
// have to be the same one as libtorch's; the iterator of its element-wise operations is not, and
// hands out its elements as we want them.
inline void in_parallel(int64_t count, const std::function<void(int64_t)> &unit) {
  auto numbers = at::arange(count, at::kLong);
  auto iterator = at::TensorIterator::nullary_op(numbers);
  iterator.for_each(
      [&](char **data, const int64_t *strides, int64_t size) {
        for (int64_t i = 0; i < size; ++i)
          unit(*reinterpret_cast<int64_t *>(data[0] + i * strides[0]));
      },
      /*grain_size=*/1);
}
