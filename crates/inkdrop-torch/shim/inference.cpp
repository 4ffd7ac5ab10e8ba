// Layers of networks for inference on a CPU, each in one go.

#include "inference.h"
#include "guard.h"
#include "norm_kernel.h"
#include "parallel.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <ATen/core/dispatch/Dispatcher.h>

#include <algorithm>
#include <numeric>
#include <optional>
#include <vector>

namespace {

using Strings = std::optional<c10::string_view>;
using Scalars = c10::List<std::optional<at::Scalar>>;
using Unary = at::Tensor(const at::Tensor &, const at::Tensor &, const std::optional<at::Tensor> &,
                         at::IntArrayRef, at::IntArrayRef, at::IntArrayRef, int64_t,
                         c10::string_view, Scalars, Strings);
using Binary = at::Tensor(const at::Tensor &, const at::Tensor &, const at::Tensor &,
                          const std::optional<at::Tensor> &, at::IntArrayRef, at::IntArrayRef,
                          at::IntArrayRef, int64_t, c10::string_view, std::optional<at::Scalar>,
                          Strings, Scalars, Strings);

constexpr const char *UNARY[] = {"mkldnn::_convolution_pointwise", ""};
constexpr const char *BINARY[] = {"mkldnn::_convolution_pointwise", "binary"};

const at::Tensor &tensor(const void *pointer) { return *static_cast<const at::Tensor *>(pointer); }

// The operators that torch.compile calls on a CPU; found by name, since not every build has them.
template <typename Signature>
c10::TypedOperatorHandle<Signature> find(const char *const *name) {
  return c10::Dispatcher::singleton().findSchemaOrThrow(name[0], name[1]).typed<Signature>();
}

bool exists(const char *const *name) {
  return c10::Dispatcher::singleton().findSchema({name[0], name[1]}).has_value();
}

using Normalise = void (*)(const inkdrop::Slice &);

// The kernel for this processor.
Normalise normalise() {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw"))
    return inkdrop::normalise_avx512;
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
    return inkdrop::normalise_avx2;
#endif
  return inkdrop::normalise_anywhere;
}

// How many channels, at least, one thread takes: whole vectors and whole groups.
int64_t least_channels(int64_t in_group) {
  return std::lcm(in_group, static_cast<int64_t>(inkdrop::VECTOR));
}

}  // namespace

int inkdrop_can_pack(int *can, char **error) {
  return guarded(error, [&] {
    *can = at::globalContext().hasMKLDNN() && exists(UNARY) && exists(BINARY);
  });
}

int inkdrop_packed_conv(const void *x, const void *weight, const void *bias, const void *other,
                        const long long *stride, const long long *padding, int activation,
                        void **out, char **error) {
  return guarded(error, [&] {
    at::NoGradGuard no_graph;
    static const char *const NAMES[] = {"none", "relu", "swish", "gelu"};
    const int64_t strides[] = {stride[0], stride[1]}, pads[] = {padding[0], padding[1]};
    const int64_t ones[] = {1, 1};
    auto input = tensor(x).contiguous(at::MemoryFormat::ChannelsLast);
    auto add = std::optional<at::Tensor>(tensor(bias));
    at::Tensor result;
    if (other != nullptr) {
      static auto binary = find<Binary>(BINARY);
      auto term = tensor(other).contiguous(at::MemoryFormat::ChannelsLast);
      const auto kernel = tensor(weight).sizes();
      auto places = [&](int axis) {
        return (input.size(2 + axis) + 2 * pads[axis] - kernel[2 + axis]) / strides[axis] + 1;
      };
      const int64_t expected[] = {input.size(0), kernel[0], places(0), places(1)};
      TORCH_CHECK(term.sizes() == at::IntArrayRef(expected) && term.scalar_type() == at::kFloat,
                  "expected a term of shape ", at::IntArrayRef(expected), " in f32, given ",
                  term.sizes());
      result = binary.call(input, term, tensor(weight), add, pads, strides, ones, 1, "add",
                           at::Scalar(1.0), std::nullopt, Scalars(), std::nullopt);
    } else {
      static auto unary = find<Unary>(UNARY);
      result = unary.call(input, tensor(weight), add, pads, strides, ones, 1, NAMES[activation],
                          Scalars(), activation == 3 ? Strings("none") : Strings(""));
    }
    *out = new at::Tensor(std::move(result));
  });
}

int inkdrop_group_norm(const void *x, const void *before, const void *scale, const void *shift,
                       long long groups, double eps, int activation, void **out, char **error) {
  return guarded(error, [&] {
    at::NoGradGuard no_graph;
    auto input = tensor(x).contiguous(at::MemoryFormat::ChannelsLast);
    auto result = at::empty_like(input);
    const int64_t batch = input.size(0), channels = input.size(1);
    const int64_t least = least_channels(channels / groups);
    TORCH_CHECK(channels % groups == 0 && channels % least == 0, "expected channels in multiples of ",
                inkdrop::VECTOR, " and of ", groups, " groups, given ", channels);

    // One slice of channels for each thread that is not busy with an image of its own.
    const int64_t wanted = (at::get_num_threads() + batch - 1) / std::max<int64_t>(batch, 1);
    const int64_t slices = std::min(std::max<int64_t>(wanted, 1), channels / least);
    const int64_t width = (channels / least + slices - 1) / slices * least;

    auto row = [&](const void *given, int64_t image) -> const float * {
      if (given == nullptr) return nullptr;
      const auto &values = tensor(given);
      TORCH_CHECK(values.is_contiguous() && values.scalar_type() == at::kFloat, "expected dense f32");
      return values.const_data_ptr<float>() + (values.size(0) == 1 ? 0 : image * channels);
    };
    const float *from = input.const_data_ptr<float>();
    float *to = result.mutable_data_ptr<float>();
    static const Normalise kernel = normalise();
    in_parallel(batch * slices, [&](int64_t unit) {
      const int64_t image = unit / slices, first = unit % slices * width;
      const int64_t last = std::min(first + width, channels);
      if (first >= last) return;
      inkdrop::Slice slice;
      slice.places = input.size(2) * input.size(3);
      slice.channels = channels;
      slice.width = last - first;
      slice.in_group = channels / groups;
      slice.from = from + image * slice.places * channels + first;
      slice.to = to + image * slice.places * channels + first;
      slice.before = before == nullptr ? nullptr : row(before, image) + first;
      slice.scale = row(scale, image) + first;
      slice.shift = row(shift, image) + first;
      slice.eps = eps;
      slice.activation = activation;
      std::vector<double> sums(slice.width);
      std::vector<float> rows(3 * slice.width);
      slice.sums = sums.data();
      slice.rows = rows.data();
      kernel(slice);
    });
    *out = new at::Tensor(std::move(result));
  });
}
