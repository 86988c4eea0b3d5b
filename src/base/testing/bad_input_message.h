// What a refusal says, for tests.
#pragma once

#include <gtest/gtest.h>

#include <string>

#include "base/error.h"

namespace posefix {

// The message of the bad-input Error that `action` throws; the test fails if it throws none or another.
template <typename Action>
std::string bad_input_message(Action&& action) {
  try {
    action();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kBadInput) << error.what();
    return error.what();
  }
  ADD_FAILURE() << "nothing was thrown";
  return "";
}

}  // namespace posefix
