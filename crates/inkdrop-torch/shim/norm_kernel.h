// Group normalisation and an activation over some channels of one image, and its gradient.
#pragma once
#include <cstdint>

namespace inkdrop {

// Channels come in multiples of this.
constexpr int NORM_CHANNELS = 16;

// Some channels of one image: a row of `width` numbers for each pixel, rows `channels` apart. `width`
// is a multiple of NORM_CHANNELS and of `in_group`.
struct NormSlice {
  int64_t pixels, channels, width, in_group;
  const float *x;
  const float *before;  // added to x first, or null
  const float *scale, *shift;
  int activation;  // 0 none, 1 ReLU, 2 SiLU, 3 GELU
  float *mean, *spread;  // of each group, spread = 1/√(variance + ε): written forward, read backward
  double *sums;          // room for 3 * width numbers
  float *rows;           // room for 4 * width numbers
};

// activation((x + before - mean)·spread·scale + shift).
struct NormForward {
  NormSlice slice;
  double eps;
  float *y;
};

struct NormBackward {
  NormSlice slice;
  const float *gradient;
  float *by_x;
  float *by_before;  // or null
  float *by_scale, *by_shift;
};

// One instruction set's kernel.
struct NormKernel {
  void (*forward)(const NormForward &);
  void (*backward)(const NormBackward &);
};

extern const NormKernel norm_baseline;
#if defined(__x86_64__)
extern const NormKernel norm_avx2, norm_avx512;
#endif

}  // namespace inkdrop
