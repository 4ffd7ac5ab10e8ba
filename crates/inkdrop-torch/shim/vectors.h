// Vectors of numbers and the activations on them, for kernels that are compiled once for each
// instruction set: 16 numbers in AVX-512, 8 in AVX2, 4 in NEON and SSE. Nothing here is visible
// outside a kernel's file: the linker must not share copies of it.
#pragma once
#include <cstdint>

#define INLINE static inline __attribute__((always_inline))
#define INLINED __attribute__((always_inline))  // of a lambda

namespace {

#if defined(__AVX512F__)
constexpr int V = 16, V_REGISTERS = 32;
#elif defined(__AVX2__)
constexpr int V = 8, V_REGISTERS = 16;
#elif defined(__aarch64__)
constexpr int V = 4, V_REGISTERS = 32;
#else
constexpr int V = 4, V_REGISTERS = 16;
#endif
typedef float vec __attribute__((vector_size(4 * V), aligned(4)));
typedef int32_t ints __attribute__((vector_size(4 * V), aligned(4)));

INLINE vec load(const float *from) { return *reinterpret_cast<const vec *>(from); }
// x - 0 is x, and the compiler knows it; x + 0 it would compute, for the sake of -0.
INLINE vec broadcast(float x) { return x - vec{}; }
INLINE void store(float *to, vec value) { *reinterpret_cast<vec *>(to) = value; }

// e^x for x <= 0 within 2 units in the last place; 0 below -87.
// x = n ln 2 + r, e^x = 2^n e^r, e^r by its Taylor polynomial of degree 7 (|r| <= 0.35).
INLINE vec exponential(vec x) {
  const vec least = vec{} - 87.0f;
  const vec bounded = x < least ? least : x;
  const float round = 12582912.0f;  // 1.5 * 2^23: adding it leaves n in the last bits
  vec shifted = bounded * 1.44269504f + round;
  vec n = shifted - round;
  vec r = bounded - n * 0.693359375f + n * 2.12194440e-4f;
  vec e = r * (1.0f / 5040) + 1.0f / 720;
  e = e * r + 1.0f / 120;
  e = e * r + 1.0f / 24;
  e = e * r + 1.0f / 6;
  e = e * r + 0.5f;
  e = e * r + 1.0f;
  e = e * r + 1.0f;
  e = (vec)((ints)e + ((ints)shifted << 23));
  return x < least ? vec{} : e;
}

// 1 - Phi(|x|), given bell = e^(-x²/2); the error function by Abramowitz & Stegun 7.1.26 (within 1.5e-7).
INLINE vec normal_tail(vec x, vec bell) {
  const vec z = (x < 0.0f ? -x : x) * 0.70710678f;
  const vec t = 1.0f / (1.0f + 0.3275911f * z);
  vec tail = t * 1.061405429f - 1.453152027f;
  tail = tail * t + 1.421413741f;
  tail = tail * t - 0.284496736f;
  tail = tail * t + 0.254829592f;
  return tail * t * bell * 0.5f;
}

INLINE vec normal_bell(vec x) { return exponential(-0.5f * x * x); }

// x Phi(x).
INLINE vec gelu(vec x) {
  const vec tail = normal_tail(x, normal_bell(x));
  return x < 0.0f ? x * tail : x - x * tail;
}

// 0 none, 1 ReLU, 2 SiLU, 3 GELU; NaN stays.
template <int activation>
INLINE vec activate(vec y) {
  if (activation == 1) return y < 0.0f ? vec{} + 0.0f : y;
  if (activation == 2) {
    const vec e = exponential(y < 0.0f ? y : -y);
    return (y < 0.0f ? y * e : y) / (1.0f + e);
  }
  if (activation == 3) return gelu(y);
  return y;
}

template <int N>
struct Constant {
  static constexpr int value = N;
};

// Calls `run` with the activation as a Constant.
template <typename Run>
INLINE void with_activation(int activation, const Run &run) {
  switch (activation) {
    case 1: return run(Constant<1>{});
    case 2: return run(Constant<2>{});
    case 3: return run(Constant<3>{});
    default: return run(Constant<0>{});
  }
}

// The derivative.
template <int activation>
INLINE vec slope_of(vec x) {
  if (activation == 1) return x <= 0.0f ? vec{} : vec{} + 1.0f;
  if (activation == 2) {
    const vec e = exponential(x < 0.0f ? x : -x);
    const vec s = (x < 0.0f ? e : vec{} + 1.0f) / (1.0f + e);  // σ(x)
    return s + x * s * (1.0f - s);
  }
  if (activation == 3) {
    const vec bell = normal_bell(x), tail = normal_tail(x, bell);
    return (x < 0.0f ? tail : 1.0f - tail) + x * bell * 0.39894228f;
  }
  return vec{} + 1.0f;
}

}  // namespace
