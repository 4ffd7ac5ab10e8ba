// RMS normalisation and an activation over some pixels of one image, and its gradient; compiled once for
// each instruction set, which INKDROP_KERNEL names (see build.rs). Nothing here may call an inline
// function of a header, whose copies the linker shares.

#include "rms_norm_kernel.h"
#include "vectors.h"

namespace {

using namespace inkdrop;

INLINE float sum_of(vec v) {
  float sum = 0;
  for (int i = 0; i < V; ++i) sum += v[i];
  return sum;
}

template <int activation>
INLINE void forward(const RmsForward &job) {
  const RmsSlice &s = job.slice;
  for (int64_t p = 0; p < s.pixels; ++p) {
    const float *x = s.x + p * s.channels;
    float *y = job.y + p * s.channels;
    vec squares{};
    for (int64_t c = 0; c < s.channels; c += V) squares += load(x + c) * load(x + c);
    const float norm = __builtin_sqrtf(sum_of(squares));
    const float inverse = 1.0f / (norm > RMS_LEAST ? norm : norm == norm ? RMS_LEAST : norm);
    s.inverse[p] = inverse;
    for (int64_t c = 0; c < s.channels; c += V)
      store(y + c, activate<activation>(load(x + c) * inverse * load(s.scale + c) + load(s.shift + c)));
  }
}

// With n = x/‖x‖, z = n·scale + shift, of which the activation is a, and d = a'(z)·g:
// by_shift = Σ d, by_scale = Σ d·n, by_x = (d·scale - n·Σ d·scale·n)/‖x‖; where ‖x‖ is bounded, its own
// derivative is 0, and the second term with it.
template <int activation>
INLINE void backward(const RmsBackward &job) {
  const RmsSlice &s = job.slice;
  for (int64_t c = 0; c < s.channels; ++c) job.by_scale[c] = job.by_shift[c] = 0;
  for (int64_t p = 0; p < s.pixels; ++p) {
    const float *x = s.x + p * s.channels, *g = job.gradient + p * s.channels;
    float *to = job.by_x + p * s.channels;
    const float inverse = s.inverse[p];
    vec dots{};
    for (int64_t c = 0; c < s.channels; c += V) {
      const vec n = load(x + c) * inverse, scale = load(s.scale + c);
      const vec d = load(g + c) * slope_of<activation>(n * scale + load(s.shift + c));
      store(job.by_shift + c, load(job.by_shift + c) + d);
      store(job.by_scale + c, load(job.by_scale + c) + d * n);
      store(to + c, d * scale);
      dots += d * scale * n;
    }
    const float dot = inverse < 1.0f / RMS_LEAST ? sum_of(dots) : 0.0f;
    for (int64_t c = 0; c < s.channels; c += V)
      store(to + c, (load(to + c) - load(x + c) * (inverse * dot)) * inverse);
  }
}

void forward_of(const RmsForward &job) {
  with_activation(job.slice.activation,
                  [&](auto activation) INLINED { forward<decltype(activation)::value>(job); });
}

void backward_of(const RmsBackward &job) {
  with_activation(job.slice.activation,
                  [&](auto activation) INLINED { backward<decltype(activation)::value>(job); });
}

}  // namespace

namespace inkdrop {

const RmsKernel INKDROP_KERNEL = {forward_of, backward_of};

}  // namespace inkdrop
