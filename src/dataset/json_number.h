// Short decimal numbers of a JSON text, exactly rounded: nearly all that annotation and result files hold.
//
// Eight characters are looked at as one little-endian word (first character in the lowest byte). Both the digits and
// the power of ten are exact in a double, so one division rounds correctly (Clinger 1990).
//
// Non-goals: exponents, more than seven digits on a side of the point, messages. Callers read those another way.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>

namespace posefix::dataset {

inline constexpr double kPowersOfTen[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
                                          1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};

namespace short_number {

static_assert(std::endian::native == std::endian::little);

// The eight characters at p, less '0' each: a digit's byte becomes its value.
inline uint64_t load(const char* p) {
  uint64_t text = 0;
  std::memcpy(&text, p, sizeof text);
  return text ^ 0x3030303030303030;
}

// The high bit of each byte that is no digit.
inline uint64_t not_digits(uint64_t text) { return ((text + 0x7676767676767676) | text) & 0x8080808080808080; }

// Value of eight digits, leading zeros allowed: neighbours are added, then pairs, then fours. Signed, because that is
// what a processor turns into a double in one instruction.
inline int64_t value_of(uint64_t digits) {
  digits = digits * 10 + (digits >> 8);
  return static_cast<int64_t>((((digits & 0x000000FF000000FF) * 0x000F424000000064) +
                               (((digits >> 16) & 0x000000FF000000FF) * 0x0000271000000001)) >>
                              32);
}

// Digits at p, fewer than eight (8: eight or more), and their value.
inline size_t digits_at(const char* p, int64_t& value) {
  const uint64_t text = load(p);
  const uint64_t others = not_digits(text);
  if (others == 0) return 8;
  const auto count = static_cast<size_t>(std::countr_zero(others)) / 8;
  if (count != 0) value = value_of(text << (64 - 8 * count));
  return count;
}

// The part after the sign where it does not fit into eight characters. Null if it is not such a number.
inline const char* read_long(const char* p, double& value) {
  static constexpr int64_t kShift[] = {1, 10, 100, 1000, 10000, 100000, 1000000, 10000000};
  int64_t whole = 0;
  size_t count = digits_at(p, whole);
  if (count == 0 || count == 8 || (count > 1 && *p == '0')) return nullptr;
  p += count;
  value = static_cast<double>(whole);
  if (*p != '.') return p;
  int64_t fraction = 0;
  count = digits_at(++p, fraction);
  if (count == 0 || count == 8) return nullptr;
  value = static_cast<double>(whole * kShift[count] + fraction) / kPowersOfTen[count];
  return p + count;
}

// The same for a number that ends within eight characters, in one go and without a branch on its length.
inline const char* read_word(const char* p, double& value) {
  constexpr uint64_t kPoint = '.' ^ '0';
  const uint64_t text = load(p);
  const uint64_t others = not_digits(text);
  const uint64_t later = others & (others - 1);  // without the lowest
  if (later == 0) return read_long(p, value);
  const int whole_bits = std::countr_zero(others) & ~7;
  const bool is_point = (text >> whole_bits & 0xFF) == kPoint;
  const int bits = (is_point ? std::countr_zero(later) : whole_bits) & ~7;
  const int decimals = is_point ? (bits - whole_bits) / 8 - 1 : 0;
  const bool is_padded = whole_bits > 8 && (text & 0xFF) == 0;
  if (whole_bits == 0 || is_padded || (is_point && decimals == 0)) return nullptr;
  uint64_t digits = text << (64 - bits);  // the last one in the highest byte
  if (is_point) {
    const uint64_t before = (uint64_t{1} << (64 - bits + whole_bits)) - 1;  // the bytes before the point
    digits = (digits & ~(before << 8 | 0xFF)) | (digits & before) << 8;
  }
  value = static_cast<double>(value_of(digits)) / kPowersOfTen[decimals];
  return p + bits / 8;
}

[[gnu::noinline, gnu::cold]] inline const char* read_negative(const char* p, double& value) {
  p = read_word(p + 1, value);
  value = -value;
  return p;
}

}  // namespace short_number

// Steps `at` over the number that stands there and is true, or leaves it and is false: then it is none, is not a short
// one, or ends less than 25 characters before `end`.
//
// How far to go on decides when the next number can be begun, so nothing on that way depends on a value that a branch
// could have guessed: hence a call of its own for the rare sign.
inline bool read_short_number(const char*& at, const char* end, double& value) {
  constexpr ptrdiff_t kReach = 25;
  if (end - at < kReach) return false;
  const char* p = *at == '-' ? short_number::read_negative(at, value) : short_number::read_word(at, value);
  if (p == nullptr || *p == 'e' || *p == 'E') return false;
  at = p;
  return true;
}

}  // namespace posefix::dataset
