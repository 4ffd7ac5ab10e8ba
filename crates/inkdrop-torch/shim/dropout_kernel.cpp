// Dropout of a piece of one image, by the counter-based generator Philox4x32-10 (Salmon, Moraes, Dror &
// Shaw 2011, "Parallel random numbers: as easy as 1, 2, 3"); compiled once for each instruction set,
// which INKDROP_KERNEL names (see build.rs). Nothing here may call an inline function of a header, whose
// copies the linker shares; intrinsics are not such functions.

#include "dropout_kernel.h"
#include "vectors.h"

#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

namespace {

using namespace inkdrop;

// A word of 32 bits in the low half of each lane. What the high halves hold is of no account.
constexpr int LANES = V / 2;
typedef uint64_t lanes __attribute__((vector_size(8 * LANES), aligned(4)));

constexpr int BLOCKS = DROPOUT_CHUNK / 4;
constexpr int CHAINS = 2;  // vectors of blocks at a time, so that products do not wait
static_assert(BLOCKS % (CHAINS * LANES) == 0, "a chunk is whole vectors");

// The products of the low halves, in 64 bits.
INLINE lanes product(lanes a, uint32_t b) {
#if defined(__AVX512F__)
  return (lanes)_mm512_mul_epu32((__m512i)a, _mm512_set1_epi64(b));
#elif defined(__AVX2__)
  return (lanes)_mm256_mul_epu32((__m256i)a, _mm256_set1_epi64x(b));
#elif defined(__x86_64__)
  return (lanes)_mm_mul_epu32((__m128i)a, _mm_set1_epi64x(b));
#elif defined(__aarch64__)
  return (lanes)vmull_u32(vmovn_u64((uint64x2_t)a), vdup_n_u32(b));
#else
  return (a & uint64_t{0xffffffff}) * uint64_t{b};
#endif
}

// Ten rounds on the counters of CHAINS vectors of blocks (Salmon et al. 2011, section 4.3).
INLINE void philox(lanes (*c)[4], uint64_t key) {
  uint32_t left = static_cast<uint32_t>(key), right = static_cast<uint32_t>(key >> 32);
  for (int round = 0; round < 10; ++round) {
    for (int i = 0; i < CHAINS; ++i) {
      const lanes p = product(c[i][0], 0xD2511F53), q = product(c[i][2], 0xCD9E8D57);
      c[i][0] = (q >> 32) ^ c[i][1] ^ uint64_t{left};
      c[i][1] = q;
      c[i][2] = (p >> 32) ^ c[i][3] ^ uint64_t{right};
      c[i][3] = p;
    }
    left += 0x9E3779B9;  // the key's Weyl sequences
    right += 0xBB67AE85;
  }
}

// Words of two vectors, the first and the second by turns.
INLINE void store_words(uint32_t *to, lanes first, lanes second) {
  const lanes words = (first & uint64_t{0xffffffff}) | (second << 32);
  __builtin_memcpy(to, &words, sizeof words);  // a store of another type would break strict aliasing
}

// The words of a chunk: the counter is the block's number, then the image's.
INLINE void words_of(uint64_t chunk, uint64_t key, uint64_t image, uint32_t *to) {
  for (int block = 0; block < BLOCKS; block += CHAINS * LANES) {
    lanes c[CHAINS][4];
    for (int i = 0; i < CHAINS; ++i) {
      lanes number = {};
      for (int lane = 0; lane < LANES; ++lane) number[lane] = lane;
      number += chunk * BLOCKS + block + i * LANES;
      c[i][0] = number;
      c[i][1] = number >> 32;
      c[i][2] = lanes{} + image;
      c[i][3] = lanes{} + (image >> 32);
    }
    philox(c, key);
    for (int i = 0; i < CHAINS; ++i) {
      uint32_t *at = to + 2 * (block + i * LANES);
      store_words(at, c[i][0], c[i][1]);
      store_words(at + DROPOUT_CHUNK / 2, c[i][2], c[i][3]);
    }
  }
}

// A product, not a choice: NaN and infinity stay, as in libtorch's dropout.
template <typename Number>
INLINE void apply(const uint32_t *words, int64_t count, uint32_t least, Number factor,
                  const Number *__restrict x, Number *__restrict y) {
  for (int64_t i = 0; i < count; ++i) {
    const Number scale = words[i] < least ? Number{0} : factor;
    y[i] = x[i] * scale;
  }
}

template <typename Number>
INLINE void dropout(const DropoutPiece<Number> &piece) {
  const DropoutPiece<Number> job = piece;
  uint32_t words[DROPOUT_CHUNK];
  for (int64_t done = 0; done < job.count; done += DROPOUT_CHUNK) {
    const uint64_t chunk = static_cast<uint64_t>(job.first + done) / DROPOUT_CHUNK;
    words_of(chunk, job.key, job.image, words);
    const int64_t left = job.count - done;
    const Number *x = job.x + done;
    Number *y = job.y + done;
    // A count that the compiler knows gives whole vectors.
    if (left >= DROPOUT_CHUNK) apply(words, DROPOUT_CHUNK, job.least, job.factor, x, y);
    else apply(words, left, job.least, job.factor, x, y);
  }
}

void single(const DropoutPiece<float> &job) { dropout(job); }
void wide(const DropoutPiece<double> &job) { dropout(job); }

}  // namespace

namespace inkdrop {

const DropoutKernel INKDROP_KERNEL = {single, wide};

}  // namespace inkdrop
