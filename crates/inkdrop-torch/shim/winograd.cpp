// 3x3 convolutions by Winograd's algorithm: weights into its form, and the work among threads.

#include "winograd.h"
#include "guard.h"
#include "inference.h"
#include "parallel.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
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

// G g G^T of one 3x3 kernel.
void transform(const float *kernel, double *to) {
  static const double G[4][3] = {{1, 0, 0}, {0.5, 0.5, 0.5}, {0.5, -0.5, 0.5}, {0, 0, 1}};
  for (int i = 0; i < 4; ++i)
    for (int j = 0; j < 4; ++j) {
      double sum = 0;
      for (int p = 0; p < 3; ++p)
        for (int q = 0; q < 3; ++q) sum += G[i][p] * kernel[3 * p + q] * G[j][q];
      to[4 * i + j] = sum;
    }
}

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
    const auto given = tensor(weight).contiguous();
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
    *out = new at::Tensor(std::move(result));
  });
}

int inkdrop_winograd_conv(const void *x, const void *weight, const void *bias, const void *other,
                          int activation, void **out, char **error) {
#if defined(__x86_64__)
  return guarded(error, [&] {
    at::NoGradGuard no_graph;
    const auto input = tensor(x).contiguous(at::MemoryFormat::ChannelsLast);
    const auto &packed = tensor(weight);
    const int64_t batch = input.size(0), inputs = input.size(1);
    const int64_t height = input.size(2), width = input.size(3);
    const int64_t blocks = packed.size(0), outputs = blocks * inkdrop::WINOGRAD_OUTPUTS;
    TORCH_CHECK(inputs == packed.size(2) && input.scalar_type() == at::kFloat,
                "expected x with ", packed.size(2), " channels in f32, given ", inputs);
    auto result = at::empty({batch, outputs, height, width}, input.options(),
                            at::MemoryFormat::ChannelsLast);
    at::Tensor term;
    if (other != nullptr) {
      term = tensor(other).contiguous(at::MemoryFormat::ChannelsLast);
      TORCH_CHECK(term.sizes() == result.sizes() && term.scalar_type() == at::kFloat,
                  "expected a term of shape ", result.sizes(), " in f32, given ", term.sizes());
    }

    if (result.numel() == 0) {
      *out = new at::Tensor(std::move(result));
      return;
    }
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
    whole.bias = tensor(bias).const_data_ptr<float>();
    whole.other = other != nullptr ? term.const_data_ptr<float>() : nullptr;
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
    *out = new at::Tensor(std::move(result));
  });
#else
  return guarded(error, [&] { TORCH_CHECK(false, "there is no kernel for this processor"); });
#endif
}
