// Dropout of images independent of their batch: the work among threads, and its place in the autograd
// graph.

#include "dropout.h"
#include "dropout_kernel.h"
#include "cpu.h"
#include "guard.h"
#include "parallel.h"

#include <ATen/ATen.h>
#include <ATen/Context.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <mutex>

namespace {

using namespace inkdrop;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// What the mask of a batch follows from.
struct Mask {
  double probability;
  uint64_t key, first_image;
  bool kernel;

  double factor() const { return 1.0 / (1.0 - probability); }
};

const DropoutKernel &kernel() {
#if defined(__x86_64__)
  if (isa() >= Isa::Avx512) return dropout_avx512;
  if (isa() == Isa::Avx2) return dropout_avx2;
#endif
  return dropout_baseline;
}

void run(const DropoutPiece<float> &job) { kernel().single(job); }
void run(const DropoutPiece<double> &job) { kernel().wide(job); }

// ---------------------------------------------------------------- our kernel, on the CPU

template <typename Number>
void apply(const at::Tensor &x, const Mask &mask, const at::Tensor &to) {
  const int64_t images = x.size(0), size = x.numel() / images;
  // 64 KiB in f32: enough work for a thread, and many pieces for all of them.
  constexpr int64_t PIECE = 256 * DROPOUT_CHUNK;
  const int64_t pieces = (size + PIECE - 1) / PIECE;
  const Number *from = x.const_data_ptr<Number>();
  Number *y = to.mutable_data_ptr<Number>();
  in_parallel(images * pieces, [&](int64_t unit) {
    const int64_t image = unit / pieces, first = unit % pieces * PIECE;
    DropoutPiece<Number> job{};
    job.x = from + image * size + first;
    job.y = y + image * size + first;
    job.first = first;
    job.count = std::min(PIECE, size - first);
    job.key = mask.key;
    job.image = mask.first_image + static_cast<uint64_t>(image);
    // A word is below it with the probability, within 2^-32.
    job.least = static_cast<uint32_t>(mask.probability * 4294967296.0);
    job.factor = static_cast<Number>(mask.factor());
    run(job);
  });
}

at::Tensor by_kernel(const at::Tensor &x, const Mask &mask) {
  auto y = at::empty_like(x);
  if (x.scalar_type() == at::kFloat) {
    apply<float>(x, mask, y);
  } else {
    TORCH_CHECK(x.scalar_type() == at::kDouble, "expected f32 or f64, given ", x.scalar_type());
    apply<double>(x, mask, y);
  }
  return y;
}

// ---------------------------------------------------------------- libtorch's generators, on any device

// SplitMix64's finaliser (Steele et al. 2014).
uint64_t mixed(uint64_t z) {
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
  z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
  return z ^ (z >> 31);
}

at::Generator generator_of(c10::Device device) {
  auto shared = at::globalContext().defaultGenerator(device);
  std::lock_guard<std::mutex> lock(shared.mutex());
  return shared.clone();
}

// A generator of its own for each image, seeded by key and image: its draws do not depend on the others.
at::Tensor by_generators(const at::Tensor &x, const Mask &mask) {
  const int64_t images = x.size(0), size = x.numel() / images;
  auto kept = at::empty_like(x, x.options().dtype(at::kBool));
  auto generator = generator_of(x.device());
  for (int64_t image = 0; image < images; ++image) {
    const uint64_t number = mask.first_image + static_cast<uint64_t>(image);
    generator.set_current_seed(mixed(mixed(mask.key + 0x9e3779b97f4a7c15) + number));
    // By position in memory, like the kernel's mask.
    kept.as_strided({size}, {1}, image * size).bernoulli_(1.0 - mask.probability, generator);
  }
  return x.mul(kept).mul_(mask.factor());
}

// x is dense, image after image.
at::Tensor dropped(const at::Tensor &x, const Mask &mask) {
  if (x.numel() == 0) return x.clone();
  return mask.kernel ? by_kernel(x, mask) : by_generators(x, mask);
}

// ---------------------------------------------------------------- in the graph

struct Dropout : torch::autograd::Function<Dropout> {
  static at::Tensor forward(AutogradContext *context, const at::Tensor &x, double probability,
                            int64_t key, int64_t first_image, bool kernel) {
    const auto format = x.suggest_memory_format();
    context->saved_data["format"] = static_cast<int64_t>(format);
    context->saved_data["probability"] = probability;
    context->saved_data["key"] = key;
    context->saved_data["first_image"] = first_image;
    context->saved_data["kernel"] = kernel;
    return dropped(x.contiguous(format), mask_of(context));
  }

  // The mask again, on a gradient in x's layout, so that it meets the same elements.
  static variable_list backward(AutogradContext *context, const variable_list &upstream) {
    refuse_create_graph("dropout");
    const auto format = static_cast<at::MemoryFormat>(context->saved_data["format"].toInt());
    return {dropped(upstream[0].contiguous(format), mask_of(context)), {}, {}, {}, {}};
  }

  static Mask mask_of(AutogradContext *context) {
    auto &saved = context->saved_data;
    return {saved["probability"].toDouble(), static_cast<uint64_t>(saved["key"].toInt()),
            static_cast<uint64_t>(saved["first_image"].toInt()), saved["kernel"].toBool()};
  }
};

}  // namespace

int inkdrop_dropout(const void *x, double probability, long long key, long long first_image, int kernel,
                    void **out, char **error) {
  return guarded(error, [&] {
    const auto &given = *static_cast<const at::Tensor *>(x);
    *out = new at::Tensor(Dropout::apply(given, probability, static_cast<int64_t>(key),
                                         static_cast<int64_t>(first_image), kernel != 0));
  });
}
