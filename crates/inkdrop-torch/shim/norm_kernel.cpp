// Group normalisation and an activation over some channels of one image, and its gradient; compiled
// once for each instruction set, which INKDROP_KERNEL names (see build.rs). Nothing here may call an
// inline function of a header, whose copies the linker shares.

#include "norm_kernel.h"
#include "vectors.h"

namespace {

using namespace inkdrop;

constexpr int64_t ROWS = 64;  // rows that are summed up in f32; their sums are in f64
constexpr int PARTS = NORM_CHANNELS / V;
constexpr int CHAINS = PARTS == 1 ? 2 : 1;  // rows at a time, so that additions do not wait

// Sums over all pixels of COUNT numbers for each channel, which `row(index, channel, to)` gives for a
// pixel and a vector of channels.
template <int COUNT, typename Row>
INLINE void sum_pixels(const NormSlice &s, const Row &row) {
  for (int64_t k = 0; k < COUNT * s.width; ++k) s.sums[k] = 0;
  for (int64_t first = 0; first < s.pixels; first += ROWS) {
    const int64_t last = first + ROWS < s.pixels ? first + ROWS : s.pixels;
    for (int64_t c = 0; c < s.width; c += NORM_CHANNELS) {
      vec sums[CHAINS][COUNT][PARTS] = {};
      const auto add = [&](int64_t p, int chain) {
        for (int part = 0; part < PARTS; ++part) {
          vec numbers[COUNT];
          row(p * s.channels, c + part * V, numbers);
          for (int k = 0; k < COUNT; ++k) sums[chain][k][part] += numbers[k];
        }
      };
      int64_t p = first;
      for (; p + CHAINS <= last; p += CHAINS)
        for (int chain = 0; chain < CHAINS; ++chain) add(p + chain, chain);
      for (; p < last; ++p) add(p, 0);
      for (int chain = 0; chain < CHAINS; ++chain)
        for (int k = 0; k < COUNT; ++k)
          for (int i = 0; i < NORM_CHANNELS; ++i)
            s.sums[k * s.width + c + i] += sums[chain][k][i / V][i % V];
    }
  }
}

INLINE double before(const NormSlice &s, int64_t c) { return s.before ? s.before[c] : 0.0; }

template <int activation>
INLINE void apply(const NormForward &job, const float *centre, const float *factor) {
  const NormSlice &s = job.slice;
  for (int64_t p = 0; p < s.pixels; ++p) {
    const float *from = s.x + p * s.channels;
    float *to = job.y + p * s.channels;
    for (int64_t c = 0; c < s.width; c += V)
      store(to + c, activate<activation>((load(from + c) - load(centre + c)) * load(factor + c) +
                                         load(s.shift + c)));
  }
}

void forward(const NormForward &job) {
  const NormSlice &s = job.slice;
  float *centre = s.rows, *factor = centre + s.width;
  const double count = static_cast<double>(s.pixels * s.in_group);

  sum_pixels<1>(s, [&](int64_t p, int64_t c, vec *to) { to[0] = load(s.x + p + c); });
  for (int64_t g = 0; g < s.width; g += s.in_group) {
    double sum = 0;
    for (int64_t c = g; c < g + s.in_group; ++c)
      sum += s.sums[c] + static_cast<double>(s.pixels) * before(s, c);
    s.mean[g / s.in_group] = static_cast<float>(sum / count);
    // x + before - mean = x - (mean - before)
    for (int64_t c = g; c < g + s.in_group; ++c)
      centre[c] = static_cast<float>(sum / count - before(s, c));
  }
  sum_pixels<1>(s, [&](int64_t p, int64_t c, vec *to) {
    const vec apart = load(s.x + p + c) - load(centre + c);
    to[0] = apart * apart;
  });
  for (int64_t g = 0; g < s.width; g += s.in_group) {
    double sum = 0;
    for (int64_t c = g; c < g + s.in_group; ++c) sum += s.sums[c];
    const double spread = 1.0 / __builtin_sqrt(sum / count + job.eps);
    s.spread[g / s.in_group] = static_cast<float>(spread);
    for (int64_t c = g; c < g + s.in_group; ++c) factor[c] = static_cast<float>(s.scale[c] * spread);
  }
  with_activation(s.activation, [&](auto activation) INLINED {
    apply<decltype(activation)::value>(job, centre, factor);
  });
}

// With n(x) the normalised x and z = n·scale + shift, of which the activation is a:
// by_shift = Σ a'(z)·g, by_scale = Σ a'(z)·g·n, and with d = scale·a'(z)·g,
// by_x = spread·(d - mean(d) - n·mean(d·n)), by_before = Σ by_x.
template <int activation>
INLINE void backward(const NormBackward &job) {
  const NormSlice &s = job.slice;
  float *centre = s.rows, *factor = centre + s.width, *slope = factor + s.width;
  float *offset = slope + s.width;
  for (int64_t c = 0; c < s.width; ++c) {
    factor[c] = s.spread[c / s.in_group];
    centre[c] = static_cast<float>(s.mean[c / s.in_group] - before(s, c));
  }
  // a'(z)·g goes to by_x, until the sums are known.
  sum_pixels<3>(s, [&](int64_t p, int64_t c, vec *to) {
    const vec n = (load(s.x + p + c) - load(centre + c)) * load(factor + c);
    const vec z = n * load(s.scale + c) + load(s.shift + c);
    const vec d = load(job.gradient + p + c) * slope_of<activation>(z);
    store(job.by_x + p + c, d);
    to[0] = d;
    to[1] = d * n;
    to[2] = n;
  });
  const double pixels = static_cast<double>(s.pixels), count = pixels * s.in_group;
  const double *sum_d = s.sums, *sum_dn = sum_d + s.width, *sum_n = sum_dn + s.width;
  for (int64_t g = 0; g < s.width; g += s.in_group) {
    double mean_d = 0, mean_dn = 0;
    for (int64_t c = g; c < g + s.in_group; ++c) {
      mean_d += s.scale[c] * sum_d[c] / count;
      mean_dn += s.scale[c] * sum_dn[c] / count;
    }
    const double spread = s.spread[g / s.in_group];
    for (int64_t c = g; c < g + s.in_group; ++c) {
      job.by_shift[c] = static_cast<float>(sum_d[c]);
      job.by_scale[c] = static_cast<float>(sum_dn[c]);
      if (job.by_before)
        job.by_before[c] = static_cast<float>(
            spread * (s.scale[c] * sum_d[c] - pixels * mean_d - mean_dn * sum_n[c]));
      factor[c] = static_cast<float>(spread * s.scale[c]);
      slope[c] = static_cast<float>(-spread * spread * mean_dn);
      offset[c] = static_cast<float>(-spread * mean_d);
    }
  }
  for (int64_t p = 0; p < s.pixels; ++p) {
    const float *x = s.x + p * s.channels;
    float *to = job.by_x + p * s.channels;
    for (int64_t c = 0; c < s.width; c += V)
      store(to + c, load(to + c) * load(factor + c) + (load(x + c) - load(centre + c)) * load(slope + c) +
                        load(offset + c));
  }
}

void backward_of(const NormBackward &job) {
  with_activation(job.slice.activation,
                  [&](auto activation) INLINED { backward<decltype(activation)::value>(job); });
}

}  // namespace

namespace inkdrop {

const NormKernel INKDROP_KERNEL = {forward, backward_of};

}  // namespace inkdrop
