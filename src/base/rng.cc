#include "base/rng.h"

#include <cmath>
#include <numbers>

#include "base/error.h"

namespace posefix {

std::array<uint32_t, 4> philox4x32(std::array<uint32_t, 4> counter, std::array<uint32_t, 2> key) {
  for (int round = 0; round < 10; ++round) {
    const uint64_t product0 = uint64_t{0xD2511F53} * counter[0];
    const uint64_t product1 = uint64_t{0xCD9E8D57} * counter[2];
    counter = {static_cast<uint32_t>(product1 >> 32) ^ counter[1] ^ key[0], static_cast<uint32_t>(product1),
               static_cast<uint32_t>(product0 >> 32) ^ counter[3] ^ key[1], static_cast<uint32_t>(product0)};
    key[0] += 0x9E3779B9;
    key[1] += 0xBB67AE85;
  }
  return counter;
}

// Counter layout: {block index, epoch, sample low, sample high}; the stream is folded into the key's high half.
Rng::Rng(uint64_t seed, uint32_t epoch, uint64_t sample, uint32_t stream)
    : key_{static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32) ^ (stream * 0x85EBCA6BU)},
      counter_{0, epoch, static_cast<uint32_t>(sample), static_cast<uint32_t>(sample >> 32)} {}

uint32_t Rng::next_u32() {
  if (next_ == 4) {
    block_ = philox4x32(counter_, key_);
    ++counter_[0];
    next_ = 0;
  }
  return block_[static_cast<size_t>(next_++)];
}

uint64_t Rng::next_u64() {
  const uint64_t high = next_u32();
  return (high << 32) | next_u32();
}

double Rng::uniform() { return static_cast<double>(next_u64() >> 11) * 0x1p-53; }

double Rng::uniform(double low, double high) { return low + (high - low) * uniform(); }

double Rng::normal() {
  const double radius = std::sqrt(-2.0 * std::log1p(-uniform()));
  return radius * std::cos(2.0 * std::numbers::pi * uniform());
}

uint32_t Rng::below(uint32_t n) {
  PFX_CHECK(n > 0);
  const uint32_t first_fair = (0U - n) % n;  // values below would make the low remainders likelier
  for (;;) {
    const uint32_t value = next_u32();
    if (value >= first_fair) return value % n;
  }
}

}  // namespace posefix
