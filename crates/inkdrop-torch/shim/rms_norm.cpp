// RMS normalisation with its activation: the work among threads, and its place in the autograd graph.

#include "rms_norm_kernel.h"
#include "cpu.h"
#include "fused.h"
#include "guard.h"
#include "parallel.h"
#include "tensor.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>

namespace {

using namespace inkdrop;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

const RmsKernel &kernel() {
#if defined(__x86_64__)
  if (isa() >= Isa::Avx512) return rms_norm_avx512;
  if (isa() == Isa::Avx2) return rms_norm_avx2;
#endif
  return rms_norm_baseline;
}

// Pixels that are summed up in f32; the sums of such chunks are summed in f64, whatever the number of threads.
constexpr int64_t CHUNK = 64;

// x [B, C, H, W] with the channels innermost, rows [1, C] or [B, C], and the norms' inverses [B, H·W].
struct Arguments {
  at::Tensor x, scale, shift, inverse;
  int64_t activation;

  int64_t pixels() const { return x.size(2) * x.size(3); }
  int64_t chunks() const { return (pixels() + CHUNK - 1) / CHUNK; }
};

const float *row_of(const at::Tensor &rows, int64_t image) {
  return rows.const_data_ptr<float>() + (rows.size(0) == 1 ? 0 : image * rows.size(1));
}

// Calls `run` with each chunk of pixels, the index of its first number and its own index.
template <typename Run>
void for_chunks(const Arguments &given, const Run &run) {
  const int64_t channels = given.x.size(1), pixels = given.pixels(), chunks = given.chunks();
  in_parallel(given.x.size(0) * chunks, [&](int64_t unit) {
    const int64_t image = unit / chunks, first = unit % chunks * CHUNK;
    const int64_t start = image * pixels + first;
    RmsSlice slice{};
    slice.pixels = std::min(CHUNK, pixels - first);
    slice.channels = channels;
    slice.x = given.x.const_data_ptr<float>() + start * channels;
    slice.scale = row_of(given.scale, image);
    slice.shift = row_of(given.shift, image);
    slice.activation = static_cast<int>(given.activation);
    slice.inverse = static_cast<float *>(given.inverse.data_ptr()) + start;
    run(slice, start * channels, unit);
  });
}

struct RmsNorm : torch::autograd::Function<RmsNorm> {
  static at::Tensor forward(AutogradContext *context, const at::Tensor &x, const at::Tensor &scale,
                            const at::Tensor &shift, int64_t activation) {
    const Arguments given{x.contiguous(at::MemoryFormat::ChannelsLast), scale.contiguous(),
                          shift.contiguous(),
                          at::empty({x.size(0), x.size(2) * x.size(3)}, x.options()), activation};
    auto result = at::empty_like(given.x);
    float *y = result.mutable_data_ptr<float>();
    for_chunks(given, [&](const RmsSlice &slice, int64_t start, int64_t) {
      kernel().forward({slice, y + start});
    });
    context->save_for_backward({given.x, given.scale, given.shift, given.inverse});
    context->saved_data["activation"] = activation;
    return result;
  }

  static variable_list backward(AutogradContext *context, const variable_list &upstream) {
    refuse_create_graph("a fused RMS normalisation (INKDROP_KERNELS=off avoids it)");
    const auto saved = context->get_saved_variables();
    const Arguments given{saved[0], saved[1], saved[2], saved[3],
                          context->saved_data["activation"].toInt()};
    const auto gradient = upstream[0].contiguous(at::MemoryFormat::ChannelsLast);
    const int64_t batch = given.x.size(0), channels = given.x.size(1);
    auto by_x = at::empty_like(given.x);
    auto sums = [&] { return at::empty({batch, given.chunks(), channels}, given.scale.options()); };
    auto by_scale = sums(), by_shift = sums();
    for_chunks(given, [&](const RmsSlice &slice, int64_t start, int64_t unit) {
      RmsBackward job{};
      job.slice = slice;
      job.gradient = gradient.const_data_ptr<float>() + start;
      job.by_x = by_x.mutable_data_ptr<float>() + start;
      job.by_scale = by_scale.mutable_data_ptr<float>() + unit * channels;
      job.by_shift = by_shift.mutable_data_ptr<float>() + unit * channels;
      kernel().backward(job);
    });
    // A row that all images share has the sum of theirs.
    auto like = [](const at::Tensor &found, const at::Tensor &row) {
      return found.sum(1, /*keepdim=*/false, at::kDouble).sum_to_size(row.sizes()).to(at::kFloat);
    };
    return {by_x, like(by_scale, given.scale), like(by_shift, given.shift), {}};
  }
};

}  // namespace

int inkdrop_rms_norm(const void *x, const void *scale, const void *shift, int activation, void **out,
                     char **error) {
  return guarded(error, [&] {
    *out = new at::Tensor(RmsNorm::apply(tensor(x), tensor(scale), tensor(shift), activation));
  });
}
