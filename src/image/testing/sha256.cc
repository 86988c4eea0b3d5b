#include "image/testing/sha256.h"

#include <fmt/core.h>

#include <array>
#include <bit>
#include <cmath>
#include <vector>

namespace posefix::image::testing {
namespace {

// The first 32 bits of the fractional part of the square or cube root of the n-th prime, as the standard defines them.
std::array<uint32_t, 64> root_fractions(bool cube) {
  std::array<uint32_t, 64> words{};
  size_t found = 0;
  for (int candidate = 2; found < words.size(); ++candidate) {
    bool prime = true;
    for (int divisor = 2; divisor * divisor <= candidate; ++divisor) prime = prime && candidate % divisor != 0;
    if (!prime) continue;
    const long double root =
        cube ? std::cbrt(static_cast<long double>(candidate)) : std::sqrt(static_cast<long double>(candidate));
    words[found++] = static_cast<uint32_t>((root - std::floor(root)) * 4294967296.0L);
  }
  return words;
}

void add_block(std::array<uint32_t, 8>& state, const uint8_t* block, const std::array<uint32_t, 64>& constants) {
  std::array<uint32_t, 64> w{};
  for (size_t i = 0; i < 16; ++i) {
    w[i] = static_cast<uint32_t>(block[4 * i]) << 24 | static_cast<uint32_t>(block[4 * i + 1]) << 16 |
           static_cast<uint32_t>(block[4 * i + 2]) << 8 | block[4 * i + 3];
  }
  for (size_t i = 16; i < 64; ++i) {
    const uint32_t s0 = std::rotr(w[i - 15], 7) ^ std::rotr(w[i - 15], 18) ^ (w[i - 15] >> 3);
    const uint32_t s1 = std::rotr(w[i - 2], 17) ^ std::rotr(w[i - 2], 19) ^ (w[i - 2] >> 10);
    w[i] = w[i - 16] + s0 + w[i - 7] + s1;
  }
  auto [a, b, c, d, e, f, g, h] = state;
  for (size_t i = 0; i < 64; ++i) {
    const uint32_t s1 = std::rotr(e, 6) ^ std::rotr(e, 11) ^ std::rotr(e, 25);
    const uint32_t t1 = h + s1 + ((e & f) ^ (~e & g)) + constants[i] + w[i];
    const uint32_t s0 = std::rotr(a, 2) ^ std::rotr(a, 13) ^ std::rotr(a, 22);
    const uint32_t t2 = s0 + ((a & b) ^ (a & c) ^ (b & c));
    h = g, g = f, f = e, e = d + t1, d = c, c = b, b = a, a = t1 + t2;
  }
  const std::array<uint32_t, 8> mixed{a, b, c, d, e, f, g, h};
  for (size_t i = 0; i < 8; ++i) state[i] += mixed[i];
}

}  // namespace

std::string sha256_hex(std::span<const uint8_t> bytes) {
  const std::array<uint32_t, 64> constants = root_fractions(true);
  const std::array<uint32_t, 64> roots = root_fractions(false);
  std::array<uint32_t, 8> state{};
  for (size_t i = 0; i < 8; ++i) state[i] = roots[i];
  const size_t whole = bytes.size() / 64;
  for (size_t i = 0; i < whole; ++i) add_block(state, bytes.data() + 64 * i, constants);
  std::vector<uint8_t> tail(bytes.begin() + static_cast<ptrdiff_t>(64 * whole), bytes.end());
  tail.push_back(0x80);
  while (tail.size() % 64 != 56) tail.push_back(0);
  for (int shift = 56; shift >= 0; shift -= 8) {
    tail.push_back(static_cast<uint8_t>(static_cast<uint64_t>(bytes.size()) * 8 >> shift));
  }
  for (size_t i = 0; i < tail.size(); i += 64) add_block(state, tail.data() + i, constants);
  std::string hex;
  for (const uint32_t word : state) hex += fmt::format("{:08x}", word);
  return hex;
}

}  // namespace posefix::image::testing
