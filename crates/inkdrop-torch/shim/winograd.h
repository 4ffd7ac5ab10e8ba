// 3x3 convolutions with 2.25 times fewer products: F(2x2, 3x3) of Winograd (Lavin & Gray 2016).
#pragma once
#include <cstdint>

namespace inkdrop {

// Outputs that are computed together.
constexpr int WINOGRAD_OUTPUTS = 32;
// Tiles that a gradient takes at a time.
constexpr int64_t WINOGRAD_BLOCK = 48;
// Tiles come in multiples of this.
constexpr int WINOGRAD_ROWS = 4;

// Some 2x2 tiles of the results of a batch, channels innermost, stride 1, padding 1.
struct WinogradJob {
  const float *x;
  float *y;
  int64_t height, width, inputs, outputs;
  const float *weights;  // [outputs / 32][16][inputs][32]
  const float *bias;
  const float *other;  // added to the result, or null
  int activation;      // 0 none, 1 ReLU, 2 SiLU, 3 GELU; 0 with `other`
  int64_t first, last;  // tiles, counted through rows, images and the batch
  int64_t first_output, last_output;  // whole WINOGRAD_OUTPUTS
  float *room;          // room for winograd_room(last - first, inputs) numbers
};

// How many numbers a job works with.
inline int64_t winograd_room(int64_t tiles, int64_t inputs) {
  const int64_t whole = (tiles + WINOGRAD_ROWS - 1) / WINOGRAD_ROWS * WINOGRAD_ROWS;
  return 16 * (whole * (inputs + WINOGRAD_OUTPUTS) + 2 * 16);
}

// `inputs` is a multiple of 16, `outputs` one of 32.
void winograd_avx512(const WinogradJob &job);

// The gradient by the weights, in the form of the weights, added to `y`: of `x` and of `other`, the
// gradient of the results. `first_output`, `weights`, `bias` and `activation` are not looked at.
void winograd_gradient_avx512(const WinogradJob &job);

}  // namespace inkdrop
