// 3x3 convolutions by Winograd's algorithm: the work among threads, and the convolution in the
// autograd graph.

#include "winograd.h"
#include "cpu.h"
#include "fused.h"
#include "guard.h"
#include "parallel.h"
#include "tensor.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <ATen/core/grad_mode.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <optional>
#include <vector>

namespace {

using namespace inkdrop;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

const WinogradKernel &kernel() {
#if defined(__x86_64__)
  if (isa() >= Isa::Avx512) return winograd_avx512;
  if (isa() == Isa::Avx2) return winograd_avx2;
#endif
  return winograd_baseline;
}

// Whether the processor, and the compiler that made the kernels, know AVX512-BF16.
bool multiplies_bf16() {
#if defined(__x86_64__)
  return isa() >= Isa::Avx512Bf16 && winograd_avx512_bf16.factor_size == 2;
#else
  return false;
#endif
}

// For factors of this dtype.
const WinogradKernel &kernel(at::ScalarType factors) {
  if (factors != at::kBFloat16) return kernel();
  TORCH_CHECK(multiplies_bf16(), "this processor has no AVX512-BF16");
#if defined(__x86_64__)
  return winograd_avx512_bf16;
#else
  return kernel();
#endif
}

int64_t rounded_up(int64_t value, int64_t multiple) {
  return (value + multiple - 1) / multiple * multiple;
}

// ---------------------------------------------------------------- weights

// [outputs, inputs, 3, 3] in the kernel's form and the dtype of the weight, f32 or bf16; `turned`:
// [inputs, outputs, 3, 3], rotated. With tiles of 1, kernels are 1x1.
at::Tensor packed(const at::Tensor &weight, int64_t tile, bool turned) {
  const auto factors = weight.scalar_type();
  const auto given = weight.contiguous().to(at::kFloat);
  WinogradShape shape{};
  shape.tile = tile;
  shape.outputs = given.size(turned ? 1 : 0);
  shape.inputs = given.size(turned ? 0 : 1);
  const int64_t block = kernel(factors).block, side = tile == 1 ? 1 : 3;
  TORCH_CHECK(shape.outputs % 32 == 0 && shape.inputs % 16 == 0 && given.size(2) == side &&
                  given.size(3) == side && (factors == at::kFloat || factors == at::kBFloat16),
              "expected kernels of side ", side,
              " in f32 or bf16, outputs in multiples of 32 and inputs of 16");
  auto result = at::empty({shape.outputs / block, shape.frequencies(),
                           shape.inputs * block + WINOGRAD_PAD}, given.options().dtype(factors));
  WinogradWeights whole{&shape, given.const_data_ptr<float>(), result.mutable_data_ptr(), turned, 0, 0};
  in_parallel(shape.outputs / block, [&](int64_t i) {
    WinogradWeights job = whole;
    job.first = i;
    job.last = i + 1;
    kernel(factors).weights(job);
  });
  return result;
}

// ---------------------------------------------------------------- the convolution

// Tiles in one piece of work: few, so that the second cache has room for weights beside its numbers, but enough
// to be worth reading the weights once for them.
int64_t tiles_at_once(const WinogradShape &shape) {
  constexpr int64_t LEAST = 12, MOST = 96, NUMBERS = 4 * 12288;
  const int64_t each = shape.frequencies() * shape.inputs;
  return std::clamp(NUMBERS / each, LEAST, MOST) / 12 * 12;
}

// x [B, C, H, W] with packed weights, then `other` or an activation.
at::Tensor convolve(const at::Tensor &x, const at::Tensor &weights, const at::Tensor &bias,
                    const at::Tensor &other, int activation) {
  const WinogradKernel &chosen = kernel(weights.scalar_type());
  const int64_t block = chosen.block;
  const auto input = x.contiguous(at::MemoryFormat::ChannelsLast);
  WinogradShape shape{};
  shape.tile = weights.size(1) == 36 ? 4 : weights.size(1) == 16 ? 2 : 1;
  shape.batch = input.size(0);
  shape.inputs = input.size(1);
  shape.height = input.size(2);
  shape.width = input.size(3);
  shape.outputs = weights.size(0) * block;
  const int64_t expected = (weights.size(2) - WINOGRAD_PAD) / block;
  TORCH_CHECK(shape.inputs == expected && input.scalar_type() == at::kFloat, "expected x with ",
              expected, " channels in f32, given ", shape.inputs);
  auto result = at::empty({shape.batch, shape.outputs, shape.height, shape.width}, input.options(),
                          at::MemoryFormat::ChannelsLast);
  at::Tensor term;
  if (other.defined()) {
    term = other.contiguous(at::MemoryFormat::ChannelsLast);
    TORCH_CHECK(term.sizes() == result.sizes() && term.scalar_type() == at::kFloat,
                "expected a term of shape ", result.sizes(), " in f32, given ", term.sizes());
  }
  if (result.numel() == 0) return result;

  const int64_t tiles = shape.tiles(), threads = at::get_num_threads(), blocks = weights.size(0);
  // As many pieces for each thread; where there are fewer pieces than threads, outputs are shared out.
  const int64_t least = (tiles + tiles_at_once(shape) - 1) / tiles_at_once(shape);
  const int64_t even = least < threads && tiles < 12 * threads ? least : rounded_up(least, threads);
  const int64_t share = rounded_up((tiles + even - 1) / even, 2);
  const int64_t pieces = (tiles + share - 1) / share;
  const int64_t parts = std::min(blocks, (threads + pieces - 1) / pieces);
  const int64_t each = (blocks + parts - 1) / parts * block;

  WinogradForward whole{};
  whole.shape = &shape;
  whole.x = input.const_data_ptr<float>();
  whole.y = result.mutable_data_ptr<float>();
  whole.weights = weights.const_data_ptr();
  whole.bias = bias.defined() ? bias.const_data_ptr<float>() : nullptr;
  whole.other = other.defined() ? term.const_data_ptr<float>() : nullptr;
  whole.activation = activation;
  in_parallel(pieces * parts, [&](int64_t unit) {
    thread_local std::vector<float> room;
    WinogradForward job = whole;
    job.first = unit / parts * share;
    job.last = std::min(job.first + share, tiles);
    job.first_output = unit % parts * each;
    job.last_output = std::min(job.first_output + each, shape.outputs);
    room.resize(std::max<size_t>(room.size(), winograd_room(shape, job.last - job.first)));
    job.room = room.data();
    chosen.forward(job);
  });
  return result;
}

// ---------------------------------------------------------------- the gradient by the weights

// Tiles in a chunk: few enough for its transforms to stay in the second caches of all threads (NUMBERS in each),
// but enough for them to be as many numbers as the sums, which every chunk reads and writes.
int64_t chunk_of(const WinogradShape &shape) {
  constexpr int64_t NUMBERS = 1 << 18;
  const int64_t channels = shape.inputs + shape.outputs;
  const int64_t cached = NUMBERS * at::get_num_threads() / (shape.frequencies() * channels);
  const int64_t balanced = shape.inputs * shape.outputs / channels;
  return std::min(rounded_up(std::max(cached, balanced), WINOGRAD_SUM_TILES), shape.tiles());
}

// [outputs, inputs, 3, 3]; x and the gradient of the results with their channels innermost.
at::Tensor weight_gradient(const at::Tensor &x, const at::Tensor &gradient, int64_t tile) {
  WinogradShape shape{};
  shape.tile = tile;
  shape.batch = x.size(0);
  shape.inputs = x.size(1);
  shape.height = x.size(2);
  shape.width = x.size(3);
  shape.outputs = gradient.size(1);
  const int64_t frequencies = shape.frequencies(), tiles = shape.tiles(), chunk = chunk_of(shape);
  const int64_t blocks = shape.outputs / kernel().block;
  const auto options = x.options();
  auto inputs = at::empty({frequencies * (shape.inputs * chunk + WINOGRAD_PAD)}, options);
  auto outputs = at::empty({frequencies * (shape.outputs * chunk + WINOGRAD_PAD)}, options);
  auto sums = at::empty({frequencies * shape.inputs * shape.outputs}, options);
  auto result = at::empty({shape.outputs, shape.inputs, 3, 3}, options);

  WinogradGradient job{};
  job.shape = &shape;
  job.x = x.const_data_ptr<float>();
  job.gradient = gradient.const_data_ptr<float>();
  job.inputs = inputs.mutable_data_ptr<float>();
  job.outputs = outputs.mutable_data_ptr<float>();
  job.sums = sums.mutable_data_ptr<float>();
  job.weights = result.mutable_data_ptr<float>();
  for (job.first = 0; job.first < tiles; job.first += chunk) {
    job.tiles = std::min(chunk, tiles - job.first);
    constexpr int64_t TOGETHER = 8;
    in_parallel((job.tiles + TOGETHER - 1) / TOGETHER, [&](int64_t i) {
      kernel().gradient_transform(job, i * TOGETHER, std::min((i + 1) * TOGETHER, job.tiles));
    });
    in_parallel(frequencies * blocks, [&](int64_t unit) { kernel().gradient_products(job, unit); });
  }
  in_parallel(blocks, [&](int64_t block) { kernel().gradient_weights(job, block); });
  return result;
}

// ---------------------------------------------------------------- in the graph

using Maybe = std::optional<at::Tensor>;

struct Convolution : torch::autograd::Function<Convolution> {
  static at::Tensor forward(AutogradContext *context, const at::Tensor &x, const at::Tensor &weight,
                            const at::Tensor &bias, const Maybe &other, int64_t tile) {
    context->save_for_backward({x, weight});
    context->saved_data["tile"] = tile;
    context->saved_data["other"] = other.has_value();
    return convolve(x, packed(weight, tile, false), bias, other.value_or(at::Tensor()), 0);
  }

  // The gradient by x is a convolution, too, with kernels turned round and inputs for outputs.
  static variable_list backward(AutogradContext *context, const variable_list &upstream) {
    refuse_create_graph("a fused convolution (INKDROP_KERNELS=off avoids it)");
    const auto saved = context->get_saved_variables();
    const auto &x = saved[0], &weight = saved[1];
    const int64_t tile = context->saved_data["tile"].toInt();
    const auto gradient = upstream[0].contiguous(at::MemoryFormat::ChannelsLast);
    at::Tensor by_x, by_weight, by_bias, by_other;
    if (context->needs_input_grad(0)) by_x = convolve(gradient, packed(weight, tile, true), {}, {}, 0);
    if (context->needs_input_grad(1)) by_weight = weight_gradient(x, gradient, tile);
    if (context->needs_input_grad(2)) by_bias = gradient.sum({0, 2, 3});
    if (context->saved_data["other"].toBool()) by_other = upstream[0];
    return {by_x, by_weight, by_bias, by_other, {}};
  }
};

Maybe maybe(const void *pointer) { return pointer ? Maybe(tensor(pointer)) : std::nullopt; }

}  // namespace

int inkdrop_multiplies_bf16(int *found, char **error) {
  return guarded(error, [&] { *found = multiplies_bf16(); });
}

int inkdrop_winograd_weight(const void *weight, int tile, void **out, char **error) {
  return guarded(error, [&] {
    at::NoGradGuard no_graph;
    *out = new at::Tensor(packed(tensor(weight), tile, false));
  });
}

int inkdrop_winograd_conv(const void *x, const void *weight, const void *bias, const void *other,
                          int activation, void **out, char **error) {
  return guarded(error, [&] {
    at::NoGradGuard no_graph;
    *out = new at::Tensor(
        convolve(tensor(x), tensor(weight), tensor(bias), maybe(other).value_or(at::Tensor()),
                 activation));
  });
}

int inkdrop_winograd_trained(const void *x, const void *weight, const void *bias, const void *other,
                             int tile, void **out, char **error) {
  return guarded(error, [&] {
    *out = new at::Tensor(
        Convolution::apply(tensor(x), tensor(weight), tensor(bias), maybe(other), tile));
  });
}
