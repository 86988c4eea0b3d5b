#include "base/interrupt.h"

#include <gtest/gtest.h>

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <thread>

namespace posefix {
namespace {

// In a child process each, since a signal is not taken back.
TEST(InterruptDeathTest, TwoSignalsTogetherAreOne) {
  EXPECT_EXIT(
      {
        catch_interrupts();
        if (interrupted()) std::_Exit(1);
        std::raise(SIGINT);
        std::raise(SIGTERM);
        std::_Exit(interrupted() ? 0 : 1);
      },
      testing::ExitedWithCode(0), "");
}

TEST(InterruptDeathTest, ALaterOneEndsAtOnce) {
  EXPECT_EXIT(
      {
        catch_interrupts();
        std::raise(SIGTERM);
        std::this_thread::sleep_for(std::chrono::milliseconds(1100));
        std::raise(SIGTERM);
        std::_Exit(1);
      },
      testing::ExitedWithCode(130), "");
}

}  // namespace
}  // namespace posefix
