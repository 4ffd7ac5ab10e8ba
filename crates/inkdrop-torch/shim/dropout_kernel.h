// Dropout of a piece of one image.
#pragma once
#include <cstdint>

namespace inkdrop {

// Elements whose random words are computed together. Element e of an image has word w of the Philox
// block b: with r = e % DROPOUT_CHUNK, b = e / DROPOUT_CHUNK · 16 + r % 32 / 2, w = r / 32 · 2 + r % 2.
// So vectors of any width write their words without a permutation.
constexpr int64_t DROPOUT_CHUNK = 64;

// y = x · factor where the element's word is at least `least`, x · 0 elsewhere.
template <typename Number>
struct DropoutPiece {
  const Number *x;
  Number *y;
  int64_t first, count;  // elements of the image; `first` is a multiple of DROPOUT_CHUNK
  uint64_t key, image;
  uint32_t least;
  Number factor;
};

// One instruction set's kernel.
struct DropoutKernel {
  void (*single)(const DropoutPiece<float> &);
  void (*wide)(const DropoutPiece<double> &);
};

extern const DropoutKernel dropout_baseline;
#if defined(__x86_64__)
extern const DropoutKernel dropout_avx2, dropout_avx512;
#endif

}  // namespace inkdrop
