// Group normalisation and an activation over some channels of one image, vector by vector.
#pragma once
#include <cstdint>

namespace inkdrop {

// Numbers in a vector; narrower machines take it in parts.
constexpr int VECTOR = 16;

// Channels of one image: a row of `width` numbers for each place, rows `channels` apart.
struct Slice {
  const float *from;
  float *to;
  int64_t places, channels, width, in_group;
  const float *before;  // added to x first, or null
  const float *scale, *shift;
  double eps;
  int activation;  // 0 none, 1 ReLU, 2 SiLU
  double *sums;  // room for `width` numbers
  float *rows;   // room for 3 * `width` numbers
};

// `width` is a multiple of VECTOR and of `in_group`. One for each generation of processors.
void normalise_anywhere(const Slice &slice);
#if defined(__x86_64__)
void normalise_avx2(const Slice &slice);
void normalise_avx512(const Slice &slice);
#endif

}  // namespace inkdrop
