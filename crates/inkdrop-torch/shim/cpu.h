// The instruction set that our kernels are chosen for.
#pragma once

namespace inkdrop {

enum class Isa { Baseline, Avx2, Avx512, Avx512Bf16 };

// The best one of this processor, up to INKDROP_MAX_ISA (avx512_bf16, avx512, avx2 or baseline).
// Throws where the variable says something else.
Isa isa();

}  // namespace inkdrop

extern "C" {

// 0 baseline, 1 AVX2, 2 AVX-512, 3 AVX-512 with BF16.
int inkdrop_isa(int *isa, char **error);
}
