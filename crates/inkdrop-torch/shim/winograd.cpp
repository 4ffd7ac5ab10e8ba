// 3x3 convolutions by Winograd's algorithm: weights into its form, and the work among threads.

#include "winograd.h"
#include "guard.h"
#include "inference.h"
#include "parallel.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <torch/csrc/autograd/custom_function.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <vector>

namespace {

const at::Tensor &tensor(const void *pointer) { return *static_cast<const at::Tensor *>(pointer); }

// Tiles in one piece of work: the most, and as many as leave its numbers in the second cache.
constexpr int64_t MOST_TILES = 48, TILES_TIMES_INPUTS = 12288;

int64_t rounded_up(int64_t value, int64_t multiple) {
  return (value + multiple - 1) / multiple * multiple;
}

// G g G^T of one 3x3 kernel: first down its columns, then along its rows.
void transform(const float *kernel, double *to) {
  double half[4][3];
  for (int q = 0; q < 3; ++q) {
    const double a = kernel[q], b = kernel[3 + q], c = kernel[6 + q];
    half[0][q] = a;
    half[1][q] = 0.5 * (a + b + c);
    half[2][q] = 0.5 * (a - b + c);
    half[3][q] = c;
  }
  for (int i = 0; i < 4; ++i) {
    const double a = half[i][0], b = half[i][1], c = half[i][2];
    to[4 * i + 0] = a;
    to[4 * i + 1] = 0.5 * (a + b + c);
    to[4 * i + 2] = 0.5 * (a - b + c);
    to[4 * i + 3] = c;
  }
}

// [outputs, inputs, 3, 3] in the kernel's form: [outputs / 32][16][inputs][32].
at::Tensor transformed(const at::Tensor &weight) {
  const auto given = weight.contiguous();
  const int64_t outputs = given.size(0), inputs = given.size(1);
  const int64_t together = inkdrop::WINOGRAD_OUTPUTS;
  TORCH_CHECK(outputs % together == 0 && given.size(2) == 3 && given.size(3) == 3 &&
                  given.scalar_type() == at::kFloat,
              "expected 3x3 kernels in f32 and outputs in multiples of ", together);
  auto result = at::empty({outputs / together, 16, inputs, together}, given.options());
  const float *from = given.const_data_ptr<float>();
  float *to = result.mutable_data_ptr<float>();
  in_parallel(outputs, [&](int64_t o) {
    for (int64_t c = 0; c < inputs; ++c) {
      double numbers[16];
      transform(from + (o * inputs + c) * 9, numbers);
      for (int64_t i = 0; i < 16; ++i)
        to[((o / together * 16 + i) * inputs + c) * together + o % together] =
            static_cast<float>(numbers[i]);
    }
  });
  return result;
}

// x [B, C, H, W] with a weight in the kernel's form, then `other` or an activation.
at::Tensor convolve(const at::Tensor &x, const at::Tensor &packed, const at::Tensor &bias,
                    const at::Tensor &other, int activation) {
#if defined(__x86_64__)
  const auto input = x.contiguous(at::MemoryFormat::ChannelsLast);
  const int64_t batch = input.size(0), inputs = input.size(1);
  const int64_t height = input.size(2), width = input.size(3);
  const int64_t blocks = packed.size(0), outputs = blocks * inkdrop::WINOGRAD_OUTPUTS;
  TORCH_CHECK(inputs == packed.size(2) && input.scalar_type() == at::kFloat,
              "expected x with ", packed.size(2), " channels in f32, given ", inputs);
  auto result = at::empty({batch, outputs, height, width}, input.options(),
                          at::MemoryFormat::ChannelsLast);
  at::Tensor term;
  if (other.defined()) {
    term = other.contiguous(at::MemoryFormat::ChannelsLast);
    TORCH_CHECK(term.sizes() == result.sizes() && term.scalar_type() == at::kFloat,
                "expected a term of shape ", result.sizes(), " in f32, given ", term.sizes());
  }

  if (result.numel() == 0) return result;
  const int64_t tiles = batch * ((height + 1) / 2) * ((width + 1) / 2);
  const int64_t most = std::clamp<int64_t>(TILES_TIMES_INPUTS / inputs, 4, MOST_TILES) / 4 * 4;
  const int64_t threads = at::get_num_threads();
  // Few tiles are shared out evenly; where they are fewer still, outputs are.
  const int64_t share = std::min(most, rounded_up((tiles + threads - 1) / threads, 12));
  const int64_t pieces = (tiles + share - 1) / share;
  const int64_t parts = std::min(blocks, (threads + pieces - 1) / pieces);
  const int64_t each = (blocks + parts - 1) / parts * inkdrop::WINOGRAD_OUTPUTS;

  inkdrop::WinogradJob whole{};
  whole.x = input.const_data_ptr<float>();
  whole.y = result.mutable_data_ptr<float>();
  whole.height = height;
  whole.width = width;
  whole.inputs = inputs;
  whole.outputs = outputs;
  whole.weights = packed.const_data_ptr<float>();
  whole.bias = bias.const_data_ptr<float>();
  whole.other = other.defined() ? term.const_data_ptr<float>() : nullptr;
  whole.activation = activation;
  in_parallel(pieces * parts, [&](int64_t unit) {
    thread_local std::vector<float> room;
    inkdrop::WinogradJob job = whole;
    job.first = unit / parts * share;
    job.last = std::min(job.first + share, tiles);
    job.first_output = unit % parts * each;
    job.last_output = std::min(job.first_output + each, outputs);
    room.resize(std::max<size_t>(room.size(), inkdrop::winograd_room(job.last - job.first, inputs)));
    job.room = room.data();
    inkdrop::winograd_avx512(job);
  });
  return result;
#else
  TORCH_CHECK(false, "Winograd's algorithm is not supported on this processor");
#endif
}

// The pieces whose gradients by the weights are summed up: always as many, so that the sum does not
// depend on the number of threads.
constexpr int64_t PIECES = 8;

// G^T m G of one kernel.
void gather(const float *numbers, int64_t apart, float *to) {
  float half[3][4];
  for (int j = 0; j < 4; ++j) {
    const float a = numbers[j * apart], b = numbers[(4 + j) * apart], c = numbers[(8 + j) * apart];
    half[0][j] = a + 0.5f * (b + c);
    half[1][j] = 0.5f * (b - c);
    half[2][j] = 0.5f * (b + c) + numbers[(12 + j) * apart];
  }
  for (int i = 0; i < 3; ++i) {
    to[3 * i + 0] = half[i][0] + 0.5f * (half[i][1] + half[i][2]);
    to[3 * i + 1] = 0.5f * (half[i][1] - half[i][2]);
    to[3 * i + 2] = 0.5f * (half[i][1] + half[i][2]) + half[i][3];
  }
}

// The gradient by the weights, [outputs, inputs, 3, 3]; both with the channels innermost.
at::Tensor weight_gradient(const at::Tensor &x, const at::Tensor &gradient) {
#if defined(__x86_64__)
  const int64_t inputs = x.size(1), outputs = gradient.size(1), together = inkdrop::WINOGRAD_OUTPUTS;
  const int64_t tiles = x.size(0) * ((x.size(2) + 1) / 2) * ((x.size(3) + 1) / 2);
  auto sums = at::zeros({PIECES, outputs / together, 16, inputs, together}, x.options());
  const int64_t each = (tiles + PIECES - 1) / PIECES, numbers = 16 * inputs * outputs;

  inkdrop::WinogradJob whole{};
  whole.x = x.const_data_ptr<float>();
  whole.other = gradient.const_data_ptr<float>();
  whole.height = x.size(2);
  whole.width = x.size(3);
  whole.inputs = inputs;
  whole.outputs = outputs;
  float *piece = sums.mutable_data_ptr<float>();
  in_parallel(PIECES, [&](int64_t i) {
    thread_local std::vector<float> room;
    inkdrop::WinogradJob job = whole;
    job.first = std::min(i * each, tiles);
    job.last = std::min(job.first + each, tiles);
    if (job.first == job.last) return;
    room.resize(std::max<size_t>(room.size(),
                                 inkdrop::winograd_room(inkdrop::WINOGRAD_BLOCK, inputs)));
    job.room = room.data();
    job.y = piece + i * numbers;
    inkdrop::winograd_gradient_avx512(job);
  });

  const auto sum = sums.sum(0);
  auto result = at::empty({outputs, inputs, 3, 3}, x.options());
  const float *from = sum.const_data_ptr<float>();
  float *to = result.mutable_data_ptr<float>();
  in_parallel(outputs, [&](int64_t o) {
    for (int64_t c = 0; c < inputs; ++c)
      gather(from + ((o / together * 16) * inputs + c) * together + o % together,
             inputs * together, to + (o * inputs + c) * 9);
  });
  return result;
#else
  TORCH_CHECK(false, "Winograd's algorithm is not supported on this processor");
#endif
}

// The convolution in the graph: its gradient by x is a convolution, too, with kernels turned round
// and inputs for outputs.
struct Convolution : torch::autograd::Function<Convolution> {
  static at::Tensor forward(torch::autograd::AutogradContext *context, const at::Tensor &x,
                            const at::Tensor &weight, const at::Tensor &bias) {
    context->save_for_backward({x, weight});
    return convolve(x, transformed(weight), bias, {}, 0);
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext *context,
                                                 const torch::autograd::variable_list &upstream) {
    const auto saved = context->get_saved_variables();
    const auto &x = saved[0], &weight = saved[1];
    const auto gradient = upstream[0].contiguous(at::MemoryFormat::ChannelsLast);
    at::Tensor by_x;
    if (context->needs_input_grad(0)) {
      const auto turned = transformed(weight.flip({2, 3}).transpose(0, 1));
      by_x = convolve(gradient, turned, at::zeros({weight.size(1)}, weight.options()), {}, 0);
    }
    at::Tensor by_weight, by_bias;
    if (context->needs_input_grad(1)) by_weight = weight_gradient(x, gradient);
    if (context->needs_input_grad(2)) by_bias = gradient.sum({0, 2, 3});
    return {by_x, by_weight, by_bias};
  }
};

}  // namespace

int inkdrop_can_winograd() {
#if defined(__x86_64__)
  return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
         __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw");
#else
  return 0;
#endif
}

int inkdrop_winograd_weight(const void *weight, void **out, char **error) {
  return guarded(error, [&] {
    at::NoGradGuard no_graph;
    *out = new at::Tensor(transformed(tensor(weight)));
  });
}

int inkdrop_winograd_conv(const void *x, const void *weight, const void *bias, const void *other,
                          int activation, void **out, char **error) {
  return guarded(error, [&] {
    at::NoGradGuard no_graph;
    const auto term = other != nullptr ? tensor(other) : at::Tensor();
    *out = new at::Tensor(convolve(tensor(x), tensor(weight), tensor(bias), term, activation));
  });
}

int inkdrop_winograd_trained(const void *x, const void *weight, const void *bias, void **out,
                             char **error) {
  return guarded(error, [&] {
    *out = new at::Tensor(Convolution::apply(tensor(x), tensor(weight), tensor(bias)));
  });
}
