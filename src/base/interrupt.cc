#include "base/interrupt.h"

#include <csignal>
#include <cstdlib>

#include "base/error.h"

namespace posefix {
namespace {

volatile std::sig_atomic_t g_signal = 0;

extern "C" void on_signal(int signal) {
  if (g_signal != 0) std::_Exit(130);
  g_signal = signal;
}

}  // namespace

void catch_interrupts() {
  struct sigaction action {};
  action.sa_handler = on_signal;
  sigemptyset(&action.sa_mask);
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
}

bool interrupted() { return g_signal != 0; }

void throw_if_interrupted() {
  if (interrupted()) throw Error(ErrorCode::kInterrupted, "interrupted");
}

}  // namespace posefix
