// 3x3 convolutions by Winograd's algorithm, F(2x2, 3x3) and F(4x4, 3x3) of Lavin & Gray 2016: 2.25
// and 4 times fewer multiplications. Stride 1, padding 1, channels innermost; f32, or factors in bf16 with
// sums in f32.
//
// An M x M tile of results depends on N x N pixels, N = M + 2. Both are brought to N² numbers a
// channel (frequencies), where the convolution is one matrix product for each of them:
// [tiles, inputs] x [inputs, outputs].
#pragma once
#include <cstdint>

namespace inkdrop {

// Geometry that all jobs of a convolution share.
struct WinogradShape {
  int64_t tile;  // M: 2 or 4; 1 is a 1x1 convolution without padding, a plain matrix product
  int64_t batch, height, width, inputs, outputs;

  int64_t frequencies() const { return tile == 1 ? 1 : (tile + 2) * (tile + 2); }
  int64_t across() const { return (width + tile - 1) / tile; }
  int64_t down() const { return (height + tile - 1) / tile; }
  int64_t tiles() const { return batch * down() * across(); }
};

// Numbers between the ends of arrays of different frequencies: whole pages apart, they would get into
// each other's way in the cache.
constexpr int64_t WINOGRAD_PAD = 16;

// Tiles that a gradient by the weights sums up in registers before it adds them to the sums in memory; what
// is multiplied stays in the first cache. Chunks are multiples of it: their size does not change the result.
constexpr int64_t WINOGRAD_SUM_TILES = 64;

// Weights [outputs, inputs, 3, 3] to the kernel's form, [outputs / block][N²][inputs][block], the last
// two padded.
struct WinogradWeights {
  const WinogradShape *shape;
  const float *from;
  void *to;  // in the kernel's factors
  bool turned;  // `from` is [inputs, outputs, 3, 3], and its kernels are rotated by 180 degrees
  int64_t first, last;  // blocks of outputs
};

// Some tiles of the results.
struct WinogradForward {
  const WinogradShape *shape;
  const float *x;
  float *y;
  const void *weights;  // in the kernel's factors
  const float *bias;    // or null
  const float *other;   // added to the result, or null
  int activation;       // 0 none, 1 ReLU, 2 SiLU, 3 GELU; 0 with `other`
  int64_t first, last;  // tiles, counted through rows, images and the batch
  int64_t first_output, last_output;  // whole blocks
  float *room;          // winograd_room(shape, last - first) numbers
};

// The gradient by the weights of some tiles at a time: transforms of x and of the gradient of the
// results, their products for each frequency, and at the end the kernels.
struct WinogradGradient {
  const WinogradShape *shape;
  const float *x, *gradient;
  int64_t first, tiles;     // the chunk of tiles
  float *inputs;            // [N²][inputs / panel][tiles][panel], each frequency padded
  float *outputs;           // [N²][outputs / block][tiles][block], each frequency padded
  float *sums;              // [outputs / block][inputs / rows][N²][rows][block]
  float *weights;           // the result, [outputs, inputs, 3, 3]
};

// The numbers that a forward job works with; for all kernels.
inline int64_t winograd_room(const WinogradShape &shape, int64_t tiles) {
  constexpr int64_t MOST_ROWS = 4, MOST_BLOCK = 32;
  const int64_t rows = (tiles + MOST_ROWS - 1) / MOST_ROWS * MOST_ROWS;
  return shape.frequencies() * (rows * (shape.inputs + MOST_BLOCK) + 2 * WINOGRAD_PAD);
}

// One instruction set's kernel. Inputs and outputs are multiples of 32.
struct WinogradKernel {
  int block;        // outputs that are computed together
  int factor_size;  // bytes of a factor: 4 (f32) or 2 (bf16)
  void (*weights)(const WinogradWeights &);
  void (*forward)(const WinogradForward &);
  // Tiles first..last of the chunk.
  void (*gradient_transform)(const WinogradGradient &, int64_t first, int64_t last);
  // Unit: frequency * (outputs / block) + block of outputs.
  void (*gradient_products)(const WinogradGradient &, int64_t unit);
  // Blocks of outputs.
  void (*gradient_weights)(const WinogradGradient &, int64_t block);
};

extern const WinogradKernel winograd_baseline;
#if defined(__x86_64__)
extern const WinogradKernel winograd_avx2, winograd_avx512;
// Factors are bf16, sums f32.
extern const WinogradKernel winograd_avx512_bf16;
#endif

}  // namespace inkdrop
