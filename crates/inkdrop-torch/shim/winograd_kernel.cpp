// 3x3 convolutions by Winograd's algorithm (see winograd.h), compiled once for each instruction set,
// which INKDROP_KERNEL names (see build.rs). Nothing here may call an inline function of a header,
// whose copies the linker shares.

#include "winograd.h"
#include "vectors.h"

#if defined(__AVX512BF16__)
#include <immintrin.h>
#endif

namespace {

using namespace inkdrop;

constexpr int BLOCK = 2 * V;              // outputs computed together
constexpr int ROWS = V_REGISTERS >= 32 ? 12 : 6;  // tiles whose sums fill the registers
constexpr int STEP = ROWS / 3;
constexpr int GRADIENT_ROWS = V_REGISTERS >= 32 && V >= 8 ? 8 : 4;
static_assert(V % GRADIENT_ROWS == 0, "rows of one panel");

// ---------------------------------------------------------------- transforms along one axis
// Points 0, 1, -1 and infinity for M = 2; 0, ±1/√2, ±√2 and infinity for M = 4, whose errors are a
// third of those of the usual 0, ±1, ±2 (see docs/performance.md).

constexpr float A = 0.70710678f, B = 1.41421356f, A3 = 0.35355339f, B3 = 2.82842712f;

// B^T d: N numbers to N.
template <int M>
INLINE void input_axis(const vec *d, vec *to);

template <>
void input_axis<2>(const vec *d, vec *to) {
  to[0] = d[0] - d[2];
  to[1] = d[1] + d[2];
  to[2] = d[2] - d[1];
  to[3] = d[1] - d[3];
}

template <>
void input_axis<4>(const vec *d, vec *to) {
  const vec even_a = d[4] - 2.0f * d[2], odd_a = A * (d[3] - 2.0f * d[1]);
  const vec even_b = d[4] - 0.5f * d[2], odd_b = B * (d[3] - 0.5f * d[1]);
  to[0] = d[0] - 2.5f * d[2] + d[4];
  to[1] = even_a + odd_a;
  to[2] = even_a - odd_a;
  to[3] = even_b + odd_b;
  to[4] = even_b - odd_b;
  to[5] = d[1] - 2.5f * d[3] + d[5];
}

// A^T m: N numbers to M.
template <int M>
INLINE void output_axis(const vec *m, vec *to);

template <>
void output_axis<2>(const vec *m, vec *to) {
  to[0] = m[0] + m[1] + m[2];
  to[1] = m[1] - m[2] - m[3];
}

template <>
void output_axis<4>(const vec *m, vec *to) {
  const vec even_a = m[1] + m[2], odd_a = m[1] - m[2];
  const vec even_b = m[3] + m[4], odd_b = m[3] - m[4];
  to[0] = m[0] + even_a + even_b;
  to[1] = A * odd_a + B * odd_b;
  to[2] = 0.5f * even_a + 2.0f * even_b;
  to[3] = A3 * odd_a + B3 * odd_b + m[5];
}

// A y: M numbers to N.
template <int M>
INLINE void gradient_axis(const vec *y, vec *to);

template <>
void gradient_axis<2>(const vec *y, vec *to) {
  to[0] = y[0];
  to[1] = y[0] + y[1];
  to[2] = y[0] - y[1];
  to[3] = -y[1];
}

template <>
void gradient_axis<4>(const vec *y, vec *to) {
  const vec even_a = y[0] + 0.5f * y[2], odd_a = A * y[1] + A3 * y[3];
  const vec even_b = y[0] + 2.0f * y[2], odd_b = B * y[1] + B3 * y[3];
  to[0] = y[0];
  to[1] = even_a + odd_a;
  to[2] = even_a - odd_a;
  to[3] = even_b + odd_b;
  to[4] = even_b - odd_b;
  to[5] = y[3];
}

// G g: 3 numbers to N.
template <int M>
INLINE void weight_axis(const vec *g, vec *to);

template <>
void weight_axis<2>(const vec *g, vec *to) {
  const vec even = 0.5f * (g[0] + g[2]), odd = 0.5f * g[1];
  to[0] = g[0];
  to[1] = even + odd;
  to[2] = even - odd;
  to[3] = g[2];
}

template <>
void weight_axis<4>(const vec *g, vec *to) {
  const vec even_a = (g[0] + 0.5f * g[2]) * (-2.0f / 3), odd_a = g[1] * (-2.0f / 3 * A);
  const vec even_b = (g[0] + 2.0f * g[2]) * (1.0f / 6), odd_b = g[1] * (1.0f / 6 * B);
  to[0] = g[0];
  to[1] = even_a + odd_a;
  to[2] = even_a - odd_a;
  to[3] = even_b + odd_b;
  to[4] = even_b - odd_b;
  to[5] = g[2];
}

// G^T m: N numbers to 3.
template <int M>
INLINE void kernel_axis(const vec *m, vec *to);

template <>
void kernel_axis<2>(const vec *m, vec *to) {
  const vec even = 0.5f * (m[1] + m[2]);
  to[0] = m[0] + even;
  to[1] = 0.5f * (m[1] - m[2]);
  to[2] = even + m[3];
}

template <>
void kernel_axis<4>(const vec *m, vec *to) {
  const vec even_a = (m[1] + m[2]) * (-2.0f / 3), odd_a = (m[1] - m[2]) * (-2.0f / 3 * A);
  const vec even_b = (m[3] + m[4]) * (1.0f / 6), odd_b = (m[3] - m[4]) * (1.0f / 6 * B);
  to[0] = m[0] + even_a + even_b;
  to[1] = odd_a + odd_b;
  to[2] = 0.5f * even_a + 2.0f * even_b + m[5];
}

// A transform along both axes, first down the columns: FROM x FROM numbers to TO x TO.
#define BOTH_AXES(NAME, AXIS, FROM, TO)                               \
  template <int M>                                                    \
  INLINE void NAME(const vec (&from)[FROM][FROM], vec (&to)[TO][TO]) { \
    vec half[FROM][TO];                                               \
    for (int j = 0; j < FROM; ++j) {                                  \
      vec column[FROM];                                               \
      for (int i = 0; i < FROM; ++i) column[i] = from[i][j];          \
      AXIS<M>(column, half[j]);                                       \
    }                                                                 \
    for (int i = 0; i < TO; ++i) {                                    \
      vec row[FROM];                                                  \
      for (int j = 0; j < FROM; ++j) row[j] = half[j][i];             \
      AXIS<M>(row, to[i]);                                            \
    }                                                                 \
  }

BOTH_AXES(transform_input, input_axis, M + 2, M + 2)
BOTH_AXES(transform_output, output_axis, M + 2, M)
BOTH_AXES(transform_gradient, gradient_axis, M, M + 2)
BOTH_AXES(transform_weight, weight_axis, 3, M + 2)
BOTH_AXES(transform_kernel, kernel_axis, M + 2, 3)

// ---------------------------------------------------------------- factors of the products

// Transformed inputs and weights as they are multiplied: f32, or with AVX512-BF16 bf16 in pairs of
// channels, whose two products are summed in f32.

// Sides of a transformed tile and of a kernel; M = 1 is a 1x1 convolution, a plain matrix product.
template <int M>
constexpr int SIDE_OF = M == 1 ? 1 : M + 2;
template <int M>
constexpr int KERNEL_OF = M == 1 ? 1 : 3;

#if defined(__AVX512BF16__)

typedef uint16_t factor;
typedef __m512bh factors;
typedef int32_t pair __attribute__((aligned(2), may_alias));
constexpr int PAIR = 2;

INLINE factors load_factors(const factor *from) { return (factors)_mm512_loadu_si512(from); }

// The same pair in all lanes.
INLINE factors broadcast_factors(const factor *from) {
  return (factors)_mm512_set1_epi32(*reinterpret_cast<const pair *>(from));
}

INLINE vec multiply_add(vec sum, factors a, factors b) {
  return (vec)_mm512_dpbf16_ps((__m512)sum, a, b);
}

INLINE void store_factors(factor *to, vec values) {
  _mm256_storeu_si256(reinterpret_cast<__m256i *>(to), (__m256i)_mm512_cvtneps_pbh((__m512)values));
}

// One channel's weights: every second number.
INLINE void store_weights(factor *to, vec values) {
  factor all[V];
  store_factors(all, values);
  for (int lane = 0; lane < V; ++lane) to[PAIR * lane] = all[lane];
}

#else

typedef float factor;
typedef vec factors;
constexpr int PAIR = 1;

INLINE factors load_factors(const factor *from) { return load(from); }
INLINE factors broadcast_factors(const factor *from) { return broadcast(*from); }
INLINE vec multiply_add(vec sum, factors a, factors b) { return sum + a * b; }
INLINE void store_factors(factor *to, vec values) { store(to, values); }
INLINE void store_weights(factor *to, vec values) { store(to, values); }

#endif

// ---------------------------------------------------------------- tiles in memory

// The first pixel of a tile of results.
struct Pixel {
  int64_t image, row, column;
};

template <int M>
INLINE Pixel first_pixel(const WinogradShape &shape, int64_t tile) {
  const int64_t across = (shape.width + M - 1) / M, down = (shape.height + M - 1) / M;
  return {tile / (across * down), tile / across % down * M, tile % across * M};
}

// SIDE x SIDE pixels of some channels from one on; zeros beyond the image.
template <int SIDE>
INLINE void read_pixels(const WinogradShape &shape, const float *from, int64_t channels, Pixel at,
                        int64_t channel, vec (&to)[SIDE][SIDE]) {
  const float *image = from + at.image * shape.height * shape.width * channels + channel;
  for (int i = 0; i < SIDE; ++i) {
    const int64_t row = at.row + i;
    const bool row_inside = row >= 0 && row < shape.height;
    for (int j = 0; j < SIDE; ++j) {
      const int64_t column = at.column + j;
      const bool inside = row_inside && column >= 0 && column < shape.width;
      to[i][j] = inside ? load(image + (row * shape.width + column) * channels) : vec{};
    }
  }
}

template <int M>
INLINE void input_of_tile(const WinogradShape &shape, const float *x, int64_t tile, int64_t channel,
                          vec (&to)[SIDE_OF<M>][SIDE_OF<M>]) {
  Pixel at = first_pixel<M>(shape, tile);
  if constexpr (M == 1) {
    read_pixels(shape, x, shape.inputs, at, channel, to);
  } else {
    at.row -= 1;
    at.column -= 1;
    vec pixels[M + 2][M + 2];
    read_pixels(shape, x, shape.inputs, at, channel, pixels);
    transform_input<M>(pixels, to);
  }
}

// ---------------------------------------------------------------- weights

template <int M>
INLINE void pack_weights(const WinogradWeights &job) {
  constexpr int N = SIDE_OF<M>, K = KERNEL_OF<M>, TAPS = K * K;
  const int64_t inputs = job.shape->inputs, outputs = job.shape->outputs;
  for (int64_t block = job.first; block < job.last; ++block)
    for (int64_t c = 0; c < inputs; ++c)
      for (int part = 0; part < BLOCK; part += V) {
        const int64_t o = block * BLOCK + part;
        vec kernel[K][K], to[N][N];
        for (int tap = 0; tap < TAPS; ++tap) {
          vec &lanes = kernel[tap / K][tap % K];
          for (int lane = 0; lane < V; ++lane)
            lanes[lane] = job.turned ? job.from[(c * outputs + o + lane) * TAPS + TAPS - 1 - tap]
                                     : job.from[((o + lane) * inputs + c) * TAPS + tap];
        }
        if constexpr (M == 1) to[0][0] = kernel[0][0];
        else transform_weight<M>(kernel, to);
        const int64_t apart = inputs * BLOCK + WINOGRAD_PAD;
        factor *at = static_cast<factor *>(job.to) + block * N * N * apart + c / PAIR * PAIR * BLOCK +
                     part * PAIR + c % PAIR;
        for (int i = 0; i < N * N; ++i) store_weights(at + i * apart, to[i / N][i % N]);
      }
}

// ---------------------------------------------------------------- the convolution

// [rows, inputs] x [inputs, BLOCK]. Sums of at most SUM products are added up, whose errors are smaller
// than those of one long sum.
template <int rows>
INLINE void multiply(const factor *a, const factor *b, float *to, int64_t inputs) {
  constexpr int64_t SUM = 128;
  for (int64_t first = 0; first < inputs; first += SUM) {
    const int64_t last = first + SUM < inputs ? first + SUM : inputs;
    vec sums[rows][2];
#pragma GCC unroll 12
    for (int i = 0; i < rows; ++i) sums[i][0] = sums[i][1] = vec{};
    for (int64_t k = first; k < last; k += PAIR, b += BLOCK * PAIR) {
      // Later rows of the weights, which are in the second cache at best.
      constexpr int64_t AHEAD = 16, LINE = 64 / sizeof(factor);
      for (int64_t n = 0; n < BLOCK * PAIR; n += LINE)
        __builtin_prefetch(b + AHEAD * BLOCK * PAIR + n);
      const factors b0 = load_factors(b), b1 = load_factors(b + V * PAIR);
#pragma GCC unroll 12
      for (int i = 0; i < rows; ++i) {
        const factors each = broadcast_factors(a + i * inputs + k);
        sums[i][0] = multiply_add(sums[i][0], each, b0);
        sums[i][1] = multiply_add(sums[i][1], each, b1);
      }
    }
#pragma GCC unroll 12
    for (int i = 0; i < rows; ++i)
      for (int part = 0; part < 2; ++part) {
        float *at = to + i * BLOCK + part * V;
        store(at, first == 0 ? sums[i][part] : load(at) + sums[i][part]);
      }
  }
}

// The same for `tiles` rows, a multiple of STEP.
INLINE void multiply_all(const factor *a, const factor *b, float *to, int64_t inputs, int64_t tiles) {
  int64_t t = 0;
  for (; t + ROWS <= tiles; t += ROWS) multiply<ROWS>(a + t * inputs, b, to + t * BLOCK, inputs);
  if (t + 2 * STEP <= tiles) {
    multiply<2 * STEP>(a + t * inputs, b, to + t * BLOCK, inputs);
    t += 2 * STEP;
  }
  if (t < tiles) multiply<STEP>(a + t * inputs, b, to + t * BLOCK, inputs);
}

// The results of one tile for a block of outputs, with what comes after them.
template <int M, int activation, bool onto>
INLINE void write_tile(const WinogradForward &job, int64_t tile, const float *from, int64_t apart,
                       int64_t first) {
  constexpr int N = SIDE_OF<M>;
  const WinogradShape &shape = *job.shape;
  const Pixel at = first_pixel<M>(shape, tile);
  for (int64_t c = 0; c < BLOCK; c += V) {
    vec numbers[N][N], results[M][M];
    for (int i = 0; i < N; ++i)
      for (int j = 0; j < N; ++j) numbers[i][j] = load(from + (N * i + j) * apart + c);
    if constexpr (M == 1) results[0][0] = numbers[0][0];
    else transform_output<M>(numbers, results);
    const vec bias = job.bias ? load(job.bias + first + c) : vec{};
    for (int i = 0; i < M && at.row + i < shape.height; ++i)
      for (int j = 0; j < M && at.column + j < shape.width; ++j) {
        const int64_t pixel = (at.image * shape.height + at.row + i) * shape.width + at.column + j;
        const int64_t index = pixel * shape.outputs + first + c;
        const vec result = results[i][j] + bias;
        store(job.y + index, onto ? result + load(job.other + index) : activate<activation>(result));
      }
  }
}

template <int M, int activation, bool onto>
INLINE void run(const WinogradForward &job) {
  constexpr int N = SIDE_OF<M>;
  const int64_t width = job.shape->inputs, tiles = job.last - job.first;
  const int64_t rows = (tiles + STEP - 1) / STEP * STEP;
  const int64_t apart = rows * width + WINOGRAD_PAD, results_apart = rows * BLOCK + WINOGRAD_PAD;
  const int64_t weights_apart = width * BLOCK + WINOGRAD_PAD;
  factor *inputs = reinterpret_cast<factor *>(job.room);
  float *results = job.room + N * N * apart;
  for (int64_t t = 0; t < tiles; ++t)
    for (int64_t c = 0; c < width; c += V) {
      vec to[N][N];
      input_of_tile<M>(*job.shape, job.x, job.first + t, c, to);
      for (int i = 0; i < N; ++i)
        for (int j = 0; j < N; ++j) store_factors(inputs + (N * i + j) * apart + t * width + c, to[i][j]);
    }
  // Rows beyond the last tile are computed and not looked at; they must hold numbers.
  for (int i = 0; i < N * N; ++i)
    for (int64_t n = tiles * width; n < rows * width; n += V) store_factors(inputs + i * apart + n, vec{});

  for (int64_t first = job.first_output; first < job.last_output; first += BLOCK) {
    const factor *weights = static_cast<const factor *>(job.weights) + first / BLOCK * N * N * weights_apart;
    for (int i = 0; i < N * N; ++i)
      multiply_all(inputs + i * apart, weights + i * weights_apart, results + i * results_apart,
                   width, rows);
    for (int64_t t = 0; t < tiles; ++t)
      write_tile<M, activation, onto>(job, job.first + t, results + t * BLOCK, results_apart, first);
  }
}

template <int M>
INLINE void convolve(const WinogradForward &job) {
  if (job.other != nullptr) return run<M, 0, true>(job);
  with_activation(job.activation,
                  [&](auto activation) INLINED { run<M, decltype(activation)::value, false>(job); });
}

// ---------------------------------------------------------------- the gradient by the weights

template <int M>
INLINE void transform_chunk(const WinogradGradient &job, int64_t first, int64_t last) {
  constexpr int N = M + 2;
  const WinogradShape &shape = *job.shape;
  const int64_t inputs_apart = shape.inputs * job.tiles + WINOGRAD_PAD;
  const int64_t outputs_apart = shape.outputs * job.tiles + WINOGRAD_PAD;
  for (int64_t t = first; t < last; ++t) {
    for (int64_t c = 0; c < shape.inputs; c += V) {
      vec to[N][N];
      input_of_tile<M>(shape, job.x, job.first + t, c, to);
      for (int i = 0; i < N * N; ++i)
        store(job.inputs + i * inputs_apart + c * job.tiles + t * V, to[i / N][i % N]);
    }
    const Pixel at = first_pixel<M>(shape, job.first + t);
    for (int64_t o = 0; o < shape.outputs; o += V) {
      vec pixels[M][M], to[N][N];
      read_pixels(shape, job.gradient, shape.outputs, at, o, pixels);
      transform_gradient<M>(pixels, to);
      const int64_t index = o / BLOCK * BLOCK * job.tiles + t * BLOCK + o % BLOCK;
      for (int i = 0; i < N * N; ++i)
        store(job.outputs + i * outputs_apart + index, to[i / N][i % N]);
    }
  }
}

// to [GRADIENT_ROWS, BLOCK] = a^T b, or += with `onto`: some columns of a [tiles, V], and b [tiles, BLOCK].
INLINE void accumulate(const float *a, const float *b, float *to, int64_t tiles, bool onto) {
  vec sums[GRADIENT_ROWS][2];
#pragma GCC unroll 8
  for (int i = 0; i < GRADIENT_ROWS; ++i) sums[i][0] = sums[i][1] = vec{};
  for (int64_t t = 0; t < tiles; ++t) {
    const vec b0 = load(b + t * BLOCK), b1 = load(b + t * BLOCK + V);
#pragma GCC unroll 8
    for (int i = 0; i < GRADIENT_ROWS; ++i) {
      const vec factor = broadcast(a[t * V + i]);
      sums[i][0] += factor * b0;
      sums[i][1] += factor * b1;
    }
  }
#pragma GCC unroll 8
  for (int i = 0; i < GRADIENT_ROWS; ++i)
    for (int part = 0; part < 2; ++part) {
      float *at = to + i * BLOCK + part * V;
      store(at, onto ? load(at) + sums[i][part] : sums[i][part]);
    }
}

void multiply_chunk(const WinogradGradient &job, int64_t unit) {
  const WinogradShape &shape = *job.shape;
  const int64_t inputs = shape.inputs, outputs = shape.outputs, blocks = outputs / BLOCK;
  const int64_t frequency = unit / blocks, block = unit % blocks;
  const int64_t apart = (shape.tile + 2) * (shape.tile + 2) * BLOCK;
  const float *a = job.inputs + frequency * (inputs * job.tiles + WINOGRAD_PAD);
  const float *b = job.outputs + frequency * (outputs * job.tiles + WINOGRAD_PAD) +
                   block * BLOCK * job.tiles;
  float *to = job.sums + block * inputs * apart + frequency * GRADIENT_ROWS * BLOCK;
  for (int64_t t = 0; t < job.tiles; t += WINOGRAD_SUM_TILES) {
    const int64_t tiles = job.tiles - t < WINOGRAD_SUM_TILES ? job.tiles - t : WINOGRAD_SUM_TILES;
    for (int64_t c = 0; c < inputs; c += GRADIENT_ROWS)
      accumulate(a + c / V * V * job.tiles + t * V + c % V, b + t * BLOCK, to + c * apart, tiles,
                 job.first + t > 0);
  }
}

template <int M>
INLINE void collect_weights(const WinogradGradient &job, int64_t block) {
  constexpr int N = M + 2;
  const int64_t inputs = job.shape->inputs;
  for (int64_t c = 0; c < inputs; ++c)
    for (int part = 0; part < BLOCK; part += V) {
      vec numbers[N][N], kernel[3][3];
      const int64_t group = (block * inputs + c / GRADIENT_ROWS * GRADIENT_ROWS) * N * N;
      const float *sums = job.sums + (group + c % GRADIENT_ROWS) * BLOCK + part;
      for (int i = 0; i < N * N; ++i)
        numbers[i / N][i % N] = load(sums + i * GRADIENT_ROWS * BLOCK);
      transform_kernel<M>(numbers, kernel);
      for (int lane = 0; lane < V; ++lane)
        for (int tap = 0; tap < 9; ++tap)
          job.weights[((block * BLOCK + part + lane) * inputs + c) * 9 + tap] =
              kernel[tap / 3][tap % 3][lane];
    }
}

// ---------------------------------------------------------------- by the size of tiles

void weights_of(const WinogradWeights &job) {
  switch (job.shape->tile) {
    case 4: return pack_weights<4>(job);
    case 2: return pack_weights<2>(job);
    default: return pack_weights<1>(job);
  }
}

void forward(const WinogradForward &job) {
  switch (job.shape->tile) {
    case 4: return convolve<4>(job);
    case 2: return convolve<2>(job);
    default: return convolve<1>(job);
  }
}

void gradient_transform(const WinogradGradient &job, int64_t first, int64_t last) {
  job.shape->tile == 4 ? transform_chunk<4>(job, first, last) : transform_chunk<2>(job, first, last);
}

void gradient_weights(const WinogradGradient &job, int64_t block) {
  job.shape->tile == 4 ? collect_weights<4>(job, block) : collect_weights<2>(job, block);
}

}  // namespace

namespace inkdrop {

const WinogradKernel INKDROP_KERNEL = {BLOCK,   sizeof(factor),     weights_of,     forward,
                                       gradient_transform, multiply_chunk, gradient_weights};

}  // namespace inkdrop
