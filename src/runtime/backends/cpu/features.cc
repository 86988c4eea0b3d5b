// The CPU as a text, for plans that were tuned on it.
#include <fmt/format.h>
#ifdef __x86_64__
#include <cpuid.h>
#endif

#include <array>
#include <cstring>

#include "runtime/backends/cpu/onednn.h"
#include "runtime/session.h"

namespace posefix::runtime {
namespace {

// Maker, family and model by CPUID; elsewhere what the program was built for.
std::string maker_and_model() {
#ifdef __x86_64__
  unsigned eax = 0;
  std::array<unsigned, 3> maker{};
  if (__get_cpuid(0, &eax, maker.data(), &maker[2], &maker[1]) == 0) return "x86_64";
  std::array<char, sizeof maker + 1> name{};
  std::memcpy(name.data(), maker.data(), sizeof maker);
  unsigned ebx = 0;
  unsigned ecx = 0;
  unsigned edx = 0;
  __get_cpuid(1, &eax, &ebx, &ecx, &edx);
  constexpr unsigned kExtended = 15;  // a family that has more bits elsewhere
  const unsigned base = eax >> 8 & 15;
  const unsigned family = base == kExtended ? base + (eax >> 20 & 255) : base;
  const unsigned model = (eax >> 4 & 15) | (eax >> 12 & 240);
  return fmt::format("{} family {} model {}", name.data(), family, model);
#else
  return "not x86_64";
#endif
}

}  // namespace

std::string cpu_features() {
  using dnnl::cpu_isa;
  constexpr std::array<std::pair<cpu_isa, const char*>, 8> kSets{{{cpu_isa::sse41, "sse41"},
                                                                  {cpu_isa::avx, "avx"},
                                                                  {cpu_isa::avx2, "avx2"},
                                                                  {cpu_isa::avx2_vnni, "avx2_vnni"},
                                                                  {cpu_isa::avx512_core, "avx512"},
                                                                  {cpu_isa::avx512_core_vnni, "avx512_vnni"},
                                                                  {cpu_isa::avx512_core_bf16, "avx512_bf16"},
                                                                  {cpu_isa::avx512_core_amx, "amx"}}};
  std::string sets;
  for (const auto& [isa, name] : kSets) {
    if (cpu::has_instructions(isa)) sets += fmt::format(" {}", name);
  }
  const dnnl_version_t* version = dnnl::version();
  return fmt::format("{},{}, oneDNN {}.{}.{}", maker_and_model(), sets, version->major, version->minor, version->patch);
}

}  // namespace posefix::runtime
