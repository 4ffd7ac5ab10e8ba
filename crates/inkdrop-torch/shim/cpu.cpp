// The instruction set that our kernels are chosen for.

#include "cpu.h"
#include "guard.h"

#include <c10/util/Exception.h>

#include <algorithm>
#include <cstdlib>
#include <string>

namespace {

using inkdrop::Isa;

Isa of_processor() {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw"))
    return __builtin_cpu_supports("avx512bf16") ? Isa::Avx512Bf16 : Isa::Avx512;
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return Isa::Avx2;
#endif
  return Isa::Baseline;
}

Isa allowed() {
  const char *given = std::getenv("INKDROP_MAX_ISA");
  const std::string name = given != nullptr ? given : "";
  if (name.empty() || name == "avx512_bf16") return Isa::Avx512Bf16;
  if (name == "avx512") return Isa::Avx512;
  if (name == "avx2") return Isa::Avx2;
  TORCH_CHECK(name == "baseline", "INKDROP_MAX_ISA is '", name,
              "', expected avx512_bf16, avx512, avx2 or baseline");
  return Isa::Baseline;
}

}  // namespace

namespace inkdrop {

Isa isa() {
  static const Isa chosen = std::min(of_processor(), allowed());
  return chosen;
}

}  // namespace inkdrop

int inkdrop_isa(int *isa, char **error) {
  return guarded(error, [&] { *isa = static_cast<int>(inkdrop::isa()); });
}
