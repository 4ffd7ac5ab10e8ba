// Convolutions with weights in oneDNN's order.

#include "fused.h"
#include "guard.h"
#include "tensor.h"

#include <ATen/ATen.h>
#include <ATen/core/dispatch/Dispatcher.h>

#include <optional>

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

// The operators that torch.compile calls on a CPU; found by name, since not every build has them.
template <typename Signature>
c10::TypedOperatorHandle<Signature> find(const char *const *name) {
  return c10::Dispatcher::singleton().findSchemaOrThrow(name[0], name[1]).typed<Signature>();
}

bool exists(const char *const *name) {
  return c10::Dispatcher::singleton().findSchema({name[0], name[1]}).has_value();
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
