// 3x3 convolutions with 2.25 times fewer products: F(2x2, 3x3) of Winograd (Lavin & Gray 2016).
//
// A tile of 2x2 results depends on 4x4 places. Both are brought to 16 numbers for each channel, where
// the convolution is one product of matrices for each of them: [tiles, inputs] x [inputs, outputs].
// Compiled for AVX-512 alone: with 16 registers the products would not fit into them. Nothing here
// may call an inline function of a header, whose copies the linker shares.

#include "winograd.h"
#include "vectors.h"

namespace {

using inkdrop::WinogradJob;
constexpr int ROWS = inkdrop::WINOGRAD_ROWS;
constexpr int COLUMNS = inkdrop::WINOGRAD_OUTPUTS;

// Where a tile lies.
struct Place {
  int64_t image, row, column;
};

INLINE Place place(const WinogradJob &job, int64_t tile) {
  const int64_t across = (job.width + 1) / 2, down = (job.height + 1) / 2;
  return {tile / (across * down), tile / across % down * 2, tile % across * 2};
}

// B^T d B of one tile for all channels; the 16 results lie `apart` numbers from each other.
INLINE void transform_input(const WinogradJob &job, int64_t tile, float *to, int64_t apart) {
  const Place at = place(job, tile);
  const float *rows[4];
  const float *image = job.x + at.image * job.height * job.width * job.inputs;
  for (int i = 0; i < 4; ++i) {
    const int64_t row = at.row + i - 1;
    rows[i] = row < 0 || row >= job.height ? nullptr : image + row * job.width * job.inputs;
  }
  for (int64_t c = 0; c < job.inputs; c += V) {
    vec d[4][4];
    for (int i = 0; i < 4; ++i)
      for (int j = 0; j < 4; ++j) {
        const int64_t column = at.column + j - 1;
        const bool inside = rows[i] != nullptr && column >= 0 && column < job.width;
        d[i][j] = inside ? load(rows[i] + column * job.inputs + c) : vec{};
      }
    vec half[4][4];
    for (int j = 0; j < 4; ++j) {
      half[0][j] = d[0][j] - d[2][j];
      half[1][j] = d[1][j] + d[2][j];
      half[2][j] = d[2][j] - d[1][j];
      half[3][j] = d[1][j] - d[3][j];
    }
    for (int i = 0; i < 4; ++i) {
      store(to + (4 * i + 0) * apart + c, half[i][0] - half[i][2]);
      store(to + (4 * i + 1) * apart + c, half[i][1] + half[i][2]);
      store(to + (4 * i + 2) * apart + c, half[i][2] - half[i][1]);
      store(to + (4 * i + 3) * apart + c, half[i][1] - half[i][3]);
    }
  }
}

// [rows, inputs] x [inputs, COLUMNS].
template <int rows>
INLINE void multiply(const float *a, const float *b, float *to, int64_t inputs) {
  vec sums[rows][2];
#pragma GCC unroll 12
  for (int i = 0; i < rows; ++i) sums[i][0] = sums[i][1] = vec{};
  for (int64_t k = 0; k < inputs; ++k, b += COLUMNS) {
    const vec b0 = load(b), b1 = load(b + V);
#pragma GCC unroll 12
    for (int i = 0; i < rows; ++i) {
      const vec factor = vec{} + a[i * inputs + k];
      sums[i][0] += factor * b0;
      sums[i][1] += factor * b1;
    }
  }
#pragma GCC unroll 12
  for (int i = 0; i < rows; ++i) {
    store(to + i * COLUMNS, sums[i][0]);
    store(to + i * COLUMNS + V, sums[i][1]);
  }
}

// The same for `tiles` rows: 12 at a time, which fill the registers; then 8 or 4.
INLINE void multiply_all(const float *a, const float *b, float *to, int64_t inputs, int64_t tiles) {
  int64_t t = 0;
  for (; t + 12 <= tiles; t += 12) multiply<12>(a + t * inputs, b, to + t * COLUMNS, inputs);
  if (t + 8 <= tiles) {
    multiply<8>(a + t * inputs, b, to + t * COLUMNS, inputs);
    t += 8;
  }
  if (t < tiles) multiply<4>(a + t * inputs, b, to + t * COLUMNS, inputs);
}

// A^T m A of one tile for some outputs, with what comes after it.
template <int activation, bool onto>
INLINE void transform_output(const WinogradJob &job, int64_t tile, const float *from, int64_t apart,
                             int64_t first) {
  const Place at = place(job, tile);
  for (int64_t c = 0; c < COLUMNS; c += V) {
    vec half[2][4];
    for (int j = 0; j < 4; ++j) {
      vec m[4];
      for (int i = 0; i < 4; ++i) m[i] = load(from + (4 * i + j) * apart + c);
      half[0][j] = m[0] + m[1] + m[2];
      half[1][j] = m[1] - m[2] - m[3];
    }
    const vec bias = load(job.bias + first + c);
    for (int i = 0; i < 2; ++i) {
      const vec results[2] = {half[i][0] + half[i][1] + half[i][2] + bias,
                              half[i][1] - half[i][2] - half[i][3] + bias};
      const int64_t row = at.row + i;
      if (row >= job.height) break;
      for (int j = 0; j < 2; ++j) {
        const int64_t column = at.column + j;
        if (column >= job.width) break;
        const int64_t index =
            ((at.image * job.height + row) * job.width + column) * job.outputs + first + c;
        if (onto)
          store(job.y + index, results[j] + load(job.other + index));
        else
          store(job.y + index, activate<activation>(results[j]));
      }
    }
  }
}

template <int activation, bool onto>
void run(const WinogradJob &job) {
  const int64_t tiles = job.last - job.first, whole = (tiles + ROWS - 1) / ROWS * ROWS;
  float *inputs = job.room, *results = inputs + 16 * (whole * job.inputs + V);
  // Not whole pages apart, or the 16 would get into each other's way in the cache.
  const int64_t apart = whole * job.inputs + V, results_apart = whole * COLUMNS + V;
  for (int64_t t = 0; t < tiles; ++t)
    transform_input(job, job.first + t, inputs + t * job.inputs, apart);
  // Rows beyond the last tile are computed and not looked at; they must hold numbers.
  for (int64_t t = tiles; t < whole; ++t)
    for (int i = 0; i < 16; ++i)
      for (int64_t c = 0; c < job.inputs; c += V)
        store(inputs + i * apart + t * job.inputs + c, vec{});

  for (int64_t first = job.first_output; first < job.last_output; first += COLUMNS) {
    const float *weights = job.weights + first * 16 * job.inputs;
    for (int i = 0; i < 16; ++i)
      multiply_all(inputs + i * apart, weights + i * job.inputs * COLUMNS,
                   results + i * results_apart, job.inputs, whole);
    for (int64_t t = 0; t < tiles; ++t)
      transform_output<activation, onto>(job, job.first + t, results + t * COLUMNS, results_apart,
                                         first);
  }
}

// A dy A^T of one tile for some outputs; places beyond the image count nothing.
INLINE void transform_gradient(const WinogradJob &job, int64_t tile, float *to, int64_t apart,
                               int64_t first) {
  const Place at = place(job, tile);
  for (int64_t c = 0; c < COLUMNS; c += V) {
    vec d[2][2];
    for (int i = 0; i < 2; ++i)
      for (int j = 0; j < 2; ++j) {
        const int64_t row = at.row + i, column = at.column + j;
        const int64_t index =
            ((at.image * job.height + row) * job.width + column) * job.outputs + first + c;
        d[i][j] = row < job.height && column < job.width ? load(job.other + index) : vec{};
      }
    vec half[4][2];
    for (int j = 0; j < 2; ++j) {
      half[0][j] = d[0][j];
      half[1][j] = d[0][j] + d[1][j];
      half[2][j] = d[0][j] - d[1][j];
      half[3][j] = -d[1][j];
    }
    for (int i = 0; i < 4; ++i) {
      store(to + (4 * i + 0) * apart + c, half[i][0]);
      store(to + (4 * i + 1) * apart + c, half[i][0] + half[i][1]);
      store(to + (4 * i + 2) * apart + c, half[i][0] - half[i][1]);
      store(to + (4 * i + 3) * apart + c, -half[i][1]);
    }
  }
}

// to [ROWS, COLUMNS] += a^T b, a [tiles, inputs] from its column on, b [tiles, COLUMNS].
constexpr int GRADIENT_ROWS = 8;
INLINE void accumulate(const float *a, const float *b, float *to, int64_t inputs, int64_t tiles) {
  vec sums[GRADIENT_ROWS][2];
#pragma GCC unroll 8
  for (int i = 0; i < GRADIENT_ROWS; ++i) {
    sums[i][0] = load(to + i * COLUMNS);
    sums[i][1] = load(to + i * COLUMNS + V);
  }
  for (int64_t t = 0; t < tiles; ++t) {
    const vec b0 = load(b + t * COLUMNS), b1 = load(b + t * COLUMNS + V);
#pragma GCC unroll 8
    for (int i = 0; i < GRADIENT_ROWS; ++i) {
      const vec factor = vec{} + a[t * inputs + i];
      sums[i][0] += factor * b0;
      sums[i][1] += factor * b1;
    }
  }
#pragma GCC unroll 8
  for (int i = 0; i < GRADIENT_ROWS; ++i) {
    store(to + i * COLUMNS, sums[i][0]);
    store(to + i * COLUMNS + V, sums[i][1]);
  }
}

}  // namespace

namespace inkdrop {

void winograd_gradient_avx512(const WinogradJob &job) {
  const int64_t most = job.last - job.first < WINOGRAD_BLOCK ? job.last - job.first : WINOGRAD_BLOCK;
  const int64_t apart = most * job.inputs + V, results_apart = most * COLUMNS + V;
  float *inputs = job.room, *gradients = inputs + 16 * apart;
  for (int64_t start = job.first; start < job.last; start += most) {
    const int64_t tiles = job.last - start < most ? job.last - start : most;
    for (int64_t t = 0; t < tiles; ++t)
      transform_input(job, start + t, inputs + t * job.inputs, apart);
    for (int64_t first = 0; first < job.outputs; first += COLUMNS) {
      for (int64_t t = 0; t < tiles; ++t)
        transform_gradient(job, start + t, gradients + t * COLUMNS, results_apart, first);
      for (int i = 0; i < 16; ++i)
        for (int64_t c = 0; c < job.inputs; c += GRADIENT_ROWS)
          accumulate(inputs + i * apart + c, gradients + i * results_apart,
                     job.y + ((first / COLUMNS * 16 + i) * job.inputs + c) * COLUMNS, job.inputs,
                     tiles);
    }
  }
}

void winograd_avx512(const WinogradJob &job) {
  if (job.other != nullptr) return run<0, true>(job);
  switch (job.activation) {
    case 1: return run<1, false>(job);
    case 2: return run<2, false>(job);
    case 3: return run<3, false>(job);
    default: return run<0, false>(job);
  }
}

}  // namespace inkdrop
