// Rounding to f32 that really happens.
//
// GCC 12 (Debian 12's compiler) drops the rounding of static_cast<double>(static_cast<float>(d)) when it vectorises
// two of them side by side: its rule for double conversions forgets to check vector types. A golden test found it.
#pragma once

namespace posefix {

// The f32 nearest to `value`, kept from the optimiser by a volatile store.
inline float round_to_f32(double value) {
  const volatile float rounded = static_cast<float>(value);
  return rounded;
}

}  // namespace posefix
