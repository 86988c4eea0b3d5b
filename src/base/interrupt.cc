#include "base/interrupt.h"

#include <atomic>
#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <ctime>

#include "base/error.h"

namespace posefix {
namespace {

// Signals of one cause: a launcher's SIGINT and SIGTERM, or Ctrl-C that a parent passes on to who has had it already.
constexpr int64_t kTogetherNs = 1'000'000'000;

std::atomic<int64_t> g_first_ns{0};  // of the monotonic clock; 0: no signal yet
static_assert(std::atomic<int64_t>::is_always_lock_free);

extern "C" void on_signal(int /*signal*/) {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  const int64_t now_ns = static_cast<int64_t>(now.tv_sec) * 1'000'000'000 + now.tv_nsec;
  int64_t first_ns = 0;
  if (g_first_ns.compare_exchange_strong(first_ns, now_ns)) return;
  if (now_ns - first_ns >= kTogetherNs) std::_Exit(130);
}

}  // namespace

void catch_interrupts() {
  struct sigaction action {};
  action.sa_handler = on_signal;
  sigemptyset(&action.sa_mask);
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
}

bool interrupted() { return g_first_ns != 0; }

void throw_if_interrupted() {
  if (interrupted()) throw Error(ErrorCode::kInterrupted, "interrupted");
}

}  // namespace posefix
