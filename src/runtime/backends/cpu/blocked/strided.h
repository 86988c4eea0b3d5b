// 3x3 filters with stride 2 as Winograd's forms for two taps.
//
// Along one axis, results 2 apart read a filter's taps 0 and 2 from one parity of the pixels and tap 1 from the other.
// Each parity by itself is a filter with stride 1: of two taps, or of one. So four kinds of pixels (rows by columns)
// are as many more channels of one product per point. A single tap weighs nothing at infinity: there its kinds are left
// out, and 81 products make the 16 results of F(4x4) where the plain sums take 144.
#pragma once

#include <cstdint>

namespace posefix::runtime::cpu::blocked {

// What a kind of pixels meets along the rows and along the columns.
struct Parity {
  bool has_two_row_taps;
  bool has_two_column_taps;
};

// In this order the kinds that count at any point follow one another.
inline constexpr Parity kParities[] = {{true, false}, {true, true}, {false, true}, {false, false}};
inline constexpr int kParityCount = 4;

struct ParityRange {
  int first, last;  // last: one beyond
  int count() const { return last - first; }
};

// Those that count at a point; infinity is the last row and the last column.
constexpr ParityRange parities_at(bool is_infinite_row, bool is_infinite_column) {
  const int last = is_infinite_row ? 2 : is_infinite_column ? 3 : kParityCount;
  return {is_infinite_column ? 1 : 0, last};
}

}  // namespace posefix::runtime::cpu::blocked
