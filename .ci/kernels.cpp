// Checks the baseline kernels (SSE2 or NEON) against plain loops, without libtorch; for other
// architectures under emulation (see .ci/aarch64). Prints the errors; ends with 1 if one is too large.

#include "norm_kernel.h"
#include "winograd.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <vector>

using namespace inkdrop;
using Numbers = std::vector<float>;

// Pseudo-random numbers between -1 and 1.
static Numbers numbers(size_t count, uint32_t seed) {
  Numbers found(count);
  for (float &number : found) {
    seed = seed * 1664525 + 1013904223;
    number = static_cast<float>(seed >> 8) / (1 << 23) - 1;
  }
  return found;
}

static bool check(const char *what, const Numbers &given, const std::vector<double> &exact) {
  double apart = 0, largest = 0;
  for (size_t i = 0; i < exact.size(); ++i) {
    apart = std::max(apart, std::fabs(given[i] - exact[i]));
    largest = std::max(largest, std::fabs(exact[i]));
  }
  const bool good = apart / largest < 3e-6;
  std::printf("%s: %.1e%s\n", what, apart / largest, good ? "" : " WRONG");
  return good;
}

// One image [side, side, C].
static bool convolution(int64_t tile, int64_t side, int64_t inputs, int64_t outputs) {
  const WinogradKernel &kernel = winograd_baseline;
  const WinogradShape shape{tile, 1, side, side, inputs, outputs};
  const int64_t blocks = outputs / kernel.block, tiles = shape.tiles();
  const int64_t frequencies = shape.frequencies();
  const Numbers x = numbers(side * side * inputs, 1), weight = numbers(9 * inputs * outputs, 2);
  const Numbers gradient = numbers(side * side * outputs, 3);
  std::vector<double> y(side * side * outputs), by_weight(9 * inputs * outputs);
  for (int64_t row = 0; row < side; ++row)
    for (int64_t column = 0; column < side; ++column)
      for (int64_t tap = 0; tap < 9; ++tap) {
        const int64_t i = row + tap / 3 - 1, j = column + tap % 3 - 1;
        if (i < 0 || j < 0 || i >= side || j >= side) continue;
        for (int64_t o = 0; o < outputs; ++o)
          for (int64_t c = 0; c < inputs; ++c) {
            const double value = x[(i * side + j) * inputs + c];
            const int64_t at = (o * inputs + c) * 9 + tap, to = (row * side + column) * outputs + o;
            y[to] += value * weight[at];
            by_weight[at] += value * gradient[to];
          }
      }

  Numbers packed(frequencies * blocks * (inputs * kernel.block + WINOGRAD_PAD));
  kernel.weights({&shape, weight.data(), packed.data(), false, 0, blocks});
  Numbers room(winograd_room(shape, tiles)), result(y.size());
  WinogradForward job{};
  job.shape = &shape;
  job.x = x.data();
  job.y = result.data();
  job.weights = packed.data();
  job.last = tiles;
  job.last_output = outputs;
  job.room = room.data();
  kernel.forward(job);

  Numbers transformed(frequencies * (inputs * tiles + WINOGRAD_PAD));
  Numbers gradients(frequencies * (outputs * tiles + WINOGRAD_PAD));
  Numbers sums(frequencies * inputs * outputs), weights(by_weight.size());
  const WinogradGradient back{&shape, x.data(), gradient.data(), 0, tiles, transformed.data(),
                              gradients.data(), sums.data(), weights.data()};
  kernel.gradient_transform(back, 0, tiles);
  for (int64_t unit = 0; unit < frequencies * blocks; ++unit) kernel.gradient_products(back, unit);
  for (int64_t block = 0; block < blocks; ++block) kernel.gradient_weights(back, block);
  return check("convolution", result, y) & check("its gradient by the weights", weights, by_weight);
}

// One image [pixels, 32] in groups of 8 channels.
static bool normalisation(int64_t pixels) {
  const int64_t channels = 32, in_group = 8;
  const double eps = 1e-5;
  const Numbers x = numbers(pixels * channels, 1), gradient = numbers(pixels * channels, 3);
  const Numbers scale = numbers(channels, 4), shift = numbers(channels, 5);
  std::vector<double> y(x.size()), by_x(x.size());
  for (int64_t g = 0; g < channels; g += in_group) {
    const double count = static_cast<double>(pixels * in_group);
    double mean = 0, square = 0, mean_d = 0, mean_dn = 0;
    const auto each = [&](auto run) {
      for (int64_t p = 0; p < pixels; ++p)
        for (int64_t c = g; c < g + in_group; ++c) run(p * channels + c, c);
    };
    each([&](int64_t i, int64_t) { mean += x[i] / count; });
    each([&](int64_t i, int64_t) { square += (x[i] - mean) * (x[i] - mean) / count; });
    const double spread = 1 / std::sqrt(square + eps);
    const auto slope = [&](int64_t i, int64_t c) {
      const double z = (x[i] - mean) * spread * scale[c] + shift[c], s = 1 / (1 + std::exp(-z));
      y[i] = z * s;
      return gradient[i] * (s + z * s * (1 - s)) * scale[c];
    };
    each([&](int64_t i, int64_t c) {
      mean_d += slope(i, c) / count;
      mean_dn += slope(i, c) * (x[i] - mean) * spread / count;
    });
    each([&](int64_t i, int64_t c) {
      by_x[i] = spread * (slope(i, c) - mean_d - (x[i] - mean) * spread * mean_dn);
    });
  }

  Numbers mean(channels), spread(channels), rows(4 * channels), result(x.size()), back(x.size());
  Numbers by_scale(channels), by_shift(channels);
  std::vector<double> sums(3 * channels);
  const NormSlice slice{pixels, channels, channels, in_group, x.data(), nullptr, scale.data(),
                        shift.data(), 2, mean.data(), spread.data(), sums.data(), rows.data()};
  norm_baseline.forward({slice, eps, result.data()});
  norm_baseline.backward({slice, gradient.data(), back.data(), nullptr, by_scale.data(), by_shift.data()});
  return check("group normalisation", result, y) & check("its gradient by x", back, by_x);
}

int main() {
  bool good = normalisation(67);
  for (const int64_t tile : {2, 4})
    for (const int64_t side : {8, 9, 17}) good &= convolution(tile, side, 64, 96);
  return good ? 0 : 1;
}
