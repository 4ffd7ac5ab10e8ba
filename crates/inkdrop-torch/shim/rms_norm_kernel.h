// RMS normalisation and an activation over some pixels of one image, and its gradient.
#pragma once
#include <cstdint>

namespace inkdrop {

// Some pixels of one image, each a row of `channels` numbers, a multiple of 16.
struct RmsSlice {
  int64_t pixels, channels;
  const float *x;
  const float *scale, *shift;
  int activation;   // 0 none, 1 ReLU, 2 SiLU, 3 GELU
  float *inverse;   // 1/‖x‖ of each pixel: written forward, read backward
};

// activation(x/‖x‖·scale + shift), with ‖x‖ at least RMS_LEAST.
struct RmsForward {
  RmsSlice slice;
  float *y;
};

struct RmsBackward {
  RmsSlice slice;
  const float *gradient;
  float *by_x;
  float *by_scale, *by_shift;  // sums over the pixels of the slice
};

constexpr float RMS_LEAST = 1e-12f;

// One instruction set's kernel.
struct RmsKernel {
  void (*forward)(const RmsForward &);
  void (*backward)(const RmsBackward &);
};

extern const RmsKernel rms_norm_baseline;
#if defined(__x86_64__)
extern const RmsKernel rms_norm_avx2, rms_norm_avx512;
#endif

}  // namespace inkdrop
