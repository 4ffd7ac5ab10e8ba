// Group normalisation and an activation over some channels of one image, vector by vector.
//
// Compiled once for each generation of processors, which INKDROP_MACHINE names (see build.rs); so
// nothing here may call an inline function of a header, whose copies the linker shares.

#include "norm_kernel.h"

#include "vectors.h"

namespace {

// Sums over all places, for each channel, of (x - centre)^power. Rows are summed up 64 at a time
// in f32, these sums in f64.
template <int power>
INLINE void sums(const inkdrop::Slice &s, const float *centre, double *total) {
  constexpr int64_t ROWS = 64;
  for (int64_t c = 0; c < s.width; c += V) {
    vec shift = centre ? load(centre + c) : vec{};
    double sum[V] = {};
    for (int64_t first = 0; first < s.places; first += ROWS) {
      const int64_t last = first + ROWS < s.places ? first + ROWS : s.places;
      vec even = {}, odd = {};
      int64_t p = first;
      for (; p + 1 < last; p += 2) {
        vec a = load(s.from + p * s.channels + c) - shift;
        vec b = load(s.from + (p + 1) * s.channels + c) - shift;
        even += power == 2 ? a * a : a;
        odd += power == 2 ? b * b : b;
      }
      if (p < last) {
        vec a = load(s.from + p * s.channels + c) - shift;
        even += power == 2 ? a * a : a;
      }
      even += odd;
      for (int i = 0; i < V; ++i) sum[i] += even[i];
    }
    for (int i = 0; i < V; ++i) total[c + i] = sum[i];
  }
}

template <int activation>
INLINE void apply(const inkdrop::Slice &s, const float *factor, const float *term) {
  for (int64_t p = 0; p < s.places; ++p) {
    const float *from = s.from + p * s.channels;
    float *to = s.to + p * s.channels;
    for (int64_t c = 0; c < s.width; c += V)
      store(to + c, activate<activation>(load(from + c) * load(factor + c) + load(term + c)));
  }
}

}  // namespace

namespace inkdrop {

void INKDROP_MACHINE(const Slice &s) {
  double *total = s.sums;
  float *centre = s.rows, *factor = centre + s.width, *term = factor + s.width;
  const double count = static_cast<double>(s.places * s.in_group);

  sums<1>(s, nullptr, total);
  for (int64_t g = 0; g < s.width; g += s.in_group) {
    double sum = 0;
    for (int64_t c = g; c < g + s.in_group; ++c)
      sum += total[c] + (s.before ? static_cast<double>(s.places) * s.before[c] : 0.0);
    // x + before - mean = x - (mean - before)
    for (int64_t c = g; c < g + s.in_group; ++c)
      centre[c] = static_cast<float>(sum / count - (s.before ? s.before[c] : 0.0));
  }
  sums<2>(s, centre, total);
  for (int64_t g = 0; g < s.width; g += s.in_group) {
    double sum = 0;
    for (int64_t c = g; c < g + s.in_group; ++c) sum += total[c];
    const double spread = 1.0 / __builtin_sqrt(sum / count + s.eps);
    for (int64_t c = g; c < g + s.in_group; ++c) {
      factor[c] = static_cast<float>(s.scale[c] * spread);
      term[c] = static_cast<float>(s.shift[c] - static_cast<double>(centre[c]) * s.scale[c] * spread);
    }
  }
  if (s.activation == 1) apply<1>(s, factor, term);
  else if (s.activation == 2) apply<2>(s, factor, term);
  else apply<0>(s, factor, term);
}

}  // namespace inkdrop
