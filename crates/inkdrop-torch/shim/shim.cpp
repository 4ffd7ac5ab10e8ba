// What tch does not reach in libtorch: a function of our own in the autograd graph, and TF32.
//
// Rust calls in through C; C++ exceptions are caught here, and Rust's panics are
// caught on the other side, so neither unwinds through the other.

#include "guard.h"
#include "shim.h"

#include <ATen/ATen.h>
#include <ATen/Context.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/custom_function.h>

#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

namespace {

at::Generator generator(c10::Device device) {
  return at::globalContext().defaultGenerator(device);
}

at::Tensor state_of(c10::Device device) {
  auto random = generator(device);
  std::lock_guard<std::mutex> lock(random.mutex());
  return random.get_state();
}

void restore(c10::Device device, const at::Tensor &state) {
  auto random = generator(device);
  std::lock_guard<std::mutex> lock(random.mutex());
  random.set_state(state);
}

// A default generator and its state at some time.
struct GeneratorState {
  c10::Device device;
  at::Tensor state;
};

// The generators that a block on this device may draw from: keys of dropout are drawn on the CPU.
std::vector<GeneratorState> generator_states(c10::Device device) {
  std::vector<GeneratorState> now{{c10::kCPU, state_of(c10::kCPU)}};
  if (!device.is_cpu()) now.push_back({device, state_of(device)});
  return now;
}

// Gives the generators the states of the first pass, and on leaving those they had.
struct Replay {
  std::vector<GeneratorState> before;

  explicit Replay(const std::vector<GeneratorState> &first) {
    for (const auto &[device, state] : first) before.push_back({device, state_of(device)});
    for (const auto &[device, state] : first) restore(device, state);
  }
  ~Replay() {
    for (const auto &[device, state] : before) {
      try {
        restore(device, state);
      } catch (...) {
        // A state that the generator gave itself; leaving it as replayed is all that is left to do.
      }
    }
  }
};

// Rust's closure and what its second pass needs; lives as long as the graph.
struct Closure : torch::CustomClassHolder {
  void *state;
  inkdrop_run run;
  inkdrop_drop drop;
  size_t inputs;
  bool random;
  std::vector<GeneratorState> first;  // of the generators, where the block is random

  Closure(void *state, inkdrop_run run, inkdrop_drop drop, size_t inputs, bool random)
      : state(state), run(run), drop(drop), inputs(inputs), random(random) {}
  ~Closure() override { drop(state); }

  at::Tensor call(const variable_list &tensors, bool again) const {
    std::vector<const void *> pointers;
    for (const auto &tensor : tensors) pointers.push_back(&tensor);
    void *out = nullptr;
    char *error = nullptr;
    if (run(state, pointers.data(), pointers.size(), again, &out, &error) != 0) {
      std::string text = error ? error : "a checkpointed block failed";
      inkdrop_free(error);
      TORCH_CHECK(false, text);
    }
    std::unique_ptr<at::Tensor> owned(static_cast<at::Tensor *>(out));
    return *owned;
  }
};

using Shared = c10::intrusive_ptr<Closure>;

struct Checkpoint : torch::autograd::Function<Checkpoint> {
  static at::Tensor forward(AutogradContext *context, const Shared &closure,
                            at::TensorList tensors) {
    if (closure->random) closure->first = generator_states(tensors[0].device());
    context->save_for_backward(tensors.vec());
    context->saved_data["closure"] =
        c10::IValue::make_capsule(c10::intrusive_ptr<torch::CustomClassHolder>(closure));
    return closure->call({tensors.begin(), tensors.begin() + closure->inputs}, false);
  }

  static variable_list backward(AutogradContext *context, const variable_list &upstream) {
    refuse_create_graph("a checkpointed block");
    auto saved = context->get_saved_variables();
    auto capsule = context->saved_data["closure"].toCapsule();
    auto &closure = static_cast<Closure &>(*capsule);

    // The inputs are cut off from the graph before them; parameters are leaves already.
    variable_list all = saved;
    for (size_t i = 0; i < closure.inputs; ++i)
      all[i] = saved[i].detach().requires_grad_(saved[i].requires_grad());
    variable_list wanted;
    for (const auto &tensor : all)
      if (tensor.requires_grad()) wanted.push_back(tensor);

    at::AutoGradMode with_graph(true);
    at::Tensor out;
    {
      Replay replay(closure.first);
      out = closure.call({all.begin(), all.begin() + closure.inputs}, true);
    }
    // As without checkpointing, what does not depend on anything trained has no gradients.
    if (wanted.empty() || !out.requires_grad()) return variable_list(1 + all.size());
    auto found = torch::autograd::grad({out}, wanted, {upstream[0]}, std::nullopt, false, true);

    variable_list grads(1);  // the closure has none
    auto next = found.begin();
    for (const auto &tensor : all)
      grads.push_back(tensor.requires_grad() ? *next++ : at::Tensor());
    return grads;
  }
};

}  // namespace

int inkdrop_checkpoint(void *state, inkdrop_run run, inkdrop_drop drop, const void *const *tensors,
                       size_t inputs, size_t count, int random, void **out, char **error) {
  return guarded(error, [&] {
    std::unique_ptr<void, inkdrop_drop> owned(state, drop);  // until the closure has it
    auto closure = c10::make_intrusive<Closure>(state, run, drop, inputs, random && inputs > 0);
    owned.release();
    variable_list all;
    for (size_t i = 0; i < count; ++i) all.push_back(*static_cast<const at::Tensor *>(tensors[i]));
    *out = new at::Tensor(Checkpoint::apply(closure, at::TensorList(all)));
  });
}

int inkdrop_set_tf32(int allowed, char **error) {
  return guarded(error, [&] {
    at::globalContext().setAllowTF32CuBLAS(allowed != 0);
    at::globalContext().setAllowTF32CuDNN(allowed != 0);
  });
}
