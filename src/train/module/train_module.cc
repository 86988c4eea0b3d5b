// The entry of libposefix_train.so.
#include <c10/util/Exception.h>
#include <c10/util/Logging.h>

#include <csignal>
#include <cstdlib>

#include "base/error.h"
#include "base/interrupt.h"
#include "train/run.h"

namespace {

// For every connection that a rank's end breaks LibTorch 2 logs a warning with its C++ callers, beside this program's
// own words about it. LibTorch reads the variable only when it is told to.
void quieten_libtorch() {
  ::setenv("TORCH_CPP_LOG_LEVEL", "ERROR", 0);  // unless the user has set it
  c10::initLogging();
}

}  // namespace

// NOLINTNEXTLINE(misc-use-internal-linkage): looked up by name
extern "C" __attribute__((visibility("default"))) bool posefix_train_run(const posefix::train::RunRequest* request) {
  // This object has its own copy of the flag; a signal that came before goes into it.
  posefix::catch_interrupts();
  quieten_libtorch();
  if (request->interrupted != nullptr && request->interrupted()) std::raise(SIGINT);
  try {
    return posefix::train::run(*request);
  } catch (const c10::Error& error) {
    throw posefix::failed("LibTorch: {}", error.what_without_backtrace());
  }
}
