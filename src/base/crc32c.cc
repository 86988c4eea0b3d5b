#include "base/crc32c.h"

#include <array>
#include <cstring>

#if defined(__x86_64__)
#include <nmmintrin.h>
#endif

namespace posefix {
namespace {

constexpr uint32_t kPolynomial = 0x82F63B78;  // reflected

// tables[k][b]: effect of byte b followed by k zero bytes.
using Tables = std::array<std::array<uint32_t, 256>, 8>;
constexpr Tables make_tables() {
  Tables tables{};
  for (uint32_t byte = 0; byte < 256; ++byte) {
    uint32_t crc = byte;
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1) != 0 ? kPolynomial : 0);
    tables[0][byte] = crc;
  }
  for (size_t k = 1; k < 8; ++k) {
    for (size_t byte = 0; byte < 256; ++byte) {
      const uint32_t previous = tables[k - 1][byte];
      tables[k][byte] = (previous >> 8) ^ tables[0][previous & 0xFF];
    }
  }
  return tables;
}
constexpr Tables kTables = make_tables();

#if defined(__x86_64__)
// The instruction takes three cycles and a new one can start in each: three stripes of the bytes go side by side.
constexpr size_t kStripe = 32768;  // bytes; long enough for the memory to be read ahead

// Column i: what kStripe zero bytes make of a checksum's bit i: what one makes, doubled and doubled again.
using BitMatrix = std::array<uint32_t, 32>;
constexpr uint32_t times(const BitMatrix& matrix, uint32_t bits) {
  uint32_t result = 0;
  for (size_t i = 0; bits != 0; ++i, bits >>= 1) result ^= (bits & 1) != 0 ? matrix[i] : 0;
  return result;
}
constexpr Tables make_stripe_tables() {
  BitMatrix zeros{};
  for (size_t i = 0; i < zeros.size(); ++i) {
    const uint32_t bit = uint32_t{1} << i;
    zeros[i] = (bit >> 8) ^ kTables[0][bit & 0xFF];
  }
  for (size_t bytes = 1; bytes < kStripe; bytes *= 2) {
    BitMatrix twice{};
    for (size_t i = 0; i < zeros.size(); ++i) twice[i] = times(zeros, zeros[i]);
    zeros = twice;
  }
  Tables tables{};
  for (size_t k = 0; k < 4; ++k) {
    for (uint32_t byte = 0; byte < 256; ++byte) tables[k][byte] = times(zeros, byte << (8 * k));
  }
  return tables;
}

// A checksum's state after kStripe zero bytes.
uint32_t over_stripe(uint32_t state) {
  static constexpr Tables kStripeTables = make_stripe_tables();
  uint32_t result = 0;
  for (size_t k = 0; k < 4; ++k) result ^= kStripeTables[k][(state >> (8 * k)) & 0xFF];
  return result;
}

__attribute__((target("sse4.2"))) uint32_t crc32c_sse42(std::span<const std::byte> bytes, uint32_t crc) {
  const auto step = [](uint64_t state, const std::byte* from) __attribute__((target("sse4.2"))) {
    uint64_t word = 0;
    std::memcpy(&word, from, 8);
    return _mm_crc32_u64(state, word);
  };
  uint64_t state = ~crc;
  const std::byte* position = bytes.data();
  size_t left = bytes.size();
  for (; left >= 3 * kStripe; left -= 3 * kStripe, position += 3 * kStripe) {
    uint64_t second = 0;
    uint64_t third = 0;
    for (const std::byte* p = position; p != position + kStripe; p += 8) {
      state = step(state, p);
      second = step(second, p + kStripe);
      third = step(third, p + 2 * kStripe);
    }
    state = over_stripe(over_stripe(static_cast<uint32_t>(state)) ^ static_cast<uint32_t>(second)) ^ third;
  }
  for (; left >= 8; left -= 8, position += 8) state = step(state, position);
  auto last = static_cast<uint32_t>(state);
  for (; left > 0; --left, ++position) last = _mm_crc32_u8(last, static_cast<uint8_t>(*position));
  return ~last;
}
#endif

}  // namespace

uint32_t crc32c_portable(std::span<const std::byte> bytes, uint32_t crc) {
  uint32_t state = ~crc;
  const std::byte* position = bytes.data();
  size_t left = bytes.size();
  for (; left >= 8; left -= 8, position += 8) {
    uint64_t word = 0;
    std::memcpy(&word, position, 8);
    word ^= state;
    state = 0;
    for (size_t k = 0; k < 8; ++k) state ^= kTables[7 - k][(word >> (8 * k)) & 0xFF];
  }
  for (; left > 0; --left, ++position) {
    state = (state >> 8) ^ kTables[0][(state ^ static_cast<uint32_t>(*position)) & 0xFF];
  }
  return ~state;
}

uint32_t crc32c(std::span<const std::byte> bytes, uint32_t crc) {
#if defined(__x86_64__)
  static const bool has_instruction = __builtin_cpu_supports("sse4.2") != 0;
  if (has_instruction) return crc32c_sse42(bytes, crc);
#endif
  return crc32c_portable(bytes, crc);
}

uint32_t crc32c(std::string_view bytes, uint32_t crc) {
  return crc32c(std::as_bytes(std::span(bytes.data(), bytes.size())), crc);
}

}  // namespace posefix
