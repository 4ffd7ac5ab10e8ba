// Group and batch normalisation with their activation: the work among threads, and their place in the
// autograd graph.

#include "norm_kernel.h"
#include "cpu.h"
#include "fused.h"
#include "guard.h"
#include "parallel.h"
#include "tensor.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <numeric>
#include <optional>
#include <vector>

namespace {

using namespace inkdrop;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

const NormKernel &kernel() {
#if defined(__x86_64__)
  if (isa() >= Isa::Avx512) return norm_avx512;
  if (isa() == Isa::Avx2) return norm_avx2;
#endif
  return norm_baseline;
}

// [B, C, H, W] with the channels innermost, and rows [1, C] or [B, C].
struct Arguments {
  at::Tensor x, before, scale, shift;
  at::Tensor mean, spread;  // [B, groups]
  int64_t groups, activation;
};

at::Tensor dense(const at::Tensor &row) { return row.defined() ? row.contiguous() : row; }

// The numbers of an image in rows that all images share, or in one for each.
template <typename Number>
Number *row_of(const at::Tensor &rows, int64_t image) {
  if (!rows.defined()) return nullptr;
  return static_cast<Number *>(rows.data_ptr()) + (rows.size(0) == 1 ? 0 : image * rows.size(1));
}

// Calls `run` with each slice of channels of each image, and the first channel of it.
template <typename Run>
void for_slices(const Arguments &given, const Run &run) {
  const int64_t batch = given.x.size(0), channels = given.x.size(1);
  const int64_t in_group = channels / given.groups;
  // How many channels, at least, one thread takes: whole groups, and what the kernel takes together.
  const int64_t least = std::lcm(in_group, static_cast<int64_t>(NORM_CHANNELS));
  TORCH_CHECK(channels % given.groups == 0 && channels % least == 0,
              "expected channels in multiples of ", NORM_CHANNELS, " and of ", given.groups,
              " groups, given ", channels);
  // One slice for each thread that is not busy with an image of its own.
  const int64_t wanted = (at::get_num_threads() + batch - 1) / std::max<int64_t>(batch, 1);
  const int64_t slices = std::min(std::max<int64_t>(wanted, 1), channels / least);
  const int64_t width = (channels / least + slices - 1) / slices * least;
  in_parallel(batch * slices, [&](int64_t unit) {
    const int64_t image = unit / slices, first = unit % slices * width;
    const int64_t last = std::min(first + width, channels);
    if (first >= last) return;
    NormSlice slice{};
    slice.pixels = given.x.size(2) * given.x.size(3);
    slice.channels = channels;
    slice.width = last - first;
    slice.in_group = in_group;
    slice.activation = static_cast<int>(given.activation);
    slice.x = given.x.const_data_ptr<float>() + image * slice.pixels * channels + first;
    slice.before = row_of<const float>(given.before, image);
    if (slice.before) slice.before += first;
    slice.scale = row_of<const float>(given.scale, image) + first;
    slice.shift = row_of<const float>(given.shift, image) + first;
    slice.mean = row_of<float>(given.mean, image) + first / in_group;
    slice.spread = row_of<float>(given.spread, image) + first / in_group;
    std::vector<double> sums(3 * slice.width);
    std::vector<float> rows(4 * slice.width);
    slice.sums = sums.data();
    slice.rows = rows.data();
    run(slice, image, first);
  });
}

at::Tensor normalised(const Arguments &given, double eps) {
  auto result = at::empty_like(given.x);
  float *y = result.mutable_data_ptr<float>();
  for_slices(given, [&](const NormSlice &slice, int64_t image, int64_t first) {
    kernel().forward({slice, eps, y + image * slice.pixels * slice.channels + first});
  });
  return result;
}

Arguments arguments(const at::Tensor &x, const at::Tensor &before, const at::Tensor &scale,
                    const at::Tensor &shift, int64_t groups, int64_t activation) {
  auto statistics = [&] { return at::empty({x.size(0), groups}, x.options()); };
  return {x.contiguous(at::MemoryFormat::ChannelsLast), dense(before), dense(scale), dense(shift),
          statistics(), statistics(), groups, activation};
}

struct GroupNorm : torch::autograd::Function<GroupNorm> {
  // The result, and mean and spread of each group.
  static variable_list forward(AutogradContext *context, const at::Tensor &x,
                               const std::optional<at::Tensor> &before, const at::Tensor &scale,
                               const at::Tensor &shift, int64_t groups, double eps,
                               int64_t activation) {
    const auto given = arguments(x, before.value_or(at::Tensor()), scale, shift, groups, activation);
    auto result = normalised(given, eps);
    context->save_for_backward(
        {given.x, given.before, given.scale, given.shift, given.mean, given.spread});
    context->saved_data["groups"] = groups;
    context->saved_data["activation"] = activation;
    context->mark_non_differentiable({given.mean, given.spread});
    return {result, given.mean, given.spread};
  }

  static variable_list backward(AutogradContext *context, const variable_list &upstream) {
    refuse_create_graph("a fused group normalisation (INKDROP_KERNELS=off avoids it)");
    const auto saved = context->get_saved_variables();
    const Arguments given{saved[0], saved[1], saved[2], saved[3], saved[4], saved[5],
                          context->saved_data["groups"].toInt(),
                          context->saved_data["activation"].toInt()};
    const auto gradient = upstream[0].contiguous(at::MemoryFormat::ChannelsLast);
    const int64_t batch = given.x.size(0), channels = given.x.size(1);
    auto by_x = at::empty_like(given.x);
    auto rows = [&] { return at::empty({batch, channels}, given.scale.options()); };
    auto by_scale = rows(), by_shift = rows();
    auto by_before = given.before.defined() ? rows() : at::Tensor();
    for_slices(given, [&](const NormSlice &slice, int64_t image, int64_t first) {
      const int64_t start = image * slice.pixels * channels + first;
      NormBackward job{};
      job.slice = slice;
      job.gradient = gradient.const_data_ptr<float>() + start;
      job.by_x = by_x.mutable_data_ptr<float>() + start;
      job.by_before = row_of<float>(by_before, image);
      if (job.by_before) job.by_before += first;
      job.by_scale = row_of<float>(by_scale, image) + first;
      job.by_shift = row_of<float>(by_shift, image) + first;
      kernel().backward(job);
    });
    // A row that all images share has the sum of theirs.
    auto like = [](const at::Tensor &found, const at::Tensor &row) {
      return found.defined() ? found.sum_to_size(row.sizes()) : found;
    };
    return {by_x, like(by_before, given.before), like(by_scale, given.scale),
            like(by_shift, given.shift), {}, {}, {}};
  }
};

}  // namespace

int inkdrop_group_norm(const void *x, const void *before, const void *scale, const void *shift,
                       long long groups, double eps, int activation, void **out, char **error) {
  return guarded(error, [&] {
    const auto first = before ? std::optional<at::Tensor>(tensor(before)) : std::nullopt;
    *out = new at::Tensor(
        GroupNorm::apply(tensor(x), first, tensor(scale), tensor(shift), groups, eps, activation)[0]);
  });
}

// A batch is one image of all its pixels, and each channel a group.
int inkdrop_batch_norm(const void *x, const void *scale, const void *shift, double eps,
                       int activation, void **out, void **mean, void **spread, char **error) {
  return guarded(error, [&] {
    const auto given = tensor(x).contiguous(at::MemoryFormat::ChannelsLast);
    const int64_t batch = given.size(0), channels = given.size(1), width = given.size(3);
    const auto rows = given.permute({0, 2, 3, 1}).view({1, -1, width, channels});
    const auto found = GroupNorm::apply(rows.permute({0, 3, 1, 2}), std::nullopt, tensor(scale),
                                        tensor(shift), channels, eps, activation);
    const auto y = found[0].permute({0, 2, 3, 1}).view({batch, -1, width, channels});
    *out = new at::Tensor(y.permute({0, 3, 1, 2}));
    *mean = new at::Tensor(found[1].view({channels}));
    *spread = new at::Tensor(found[2].view({channels}));
  });
}
