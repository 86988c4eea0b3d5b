// The entry of libposefix_train.so.
#include <c10/util/Exception.h>

#include <csignal>

#include "base/error.h"
#include "base/interrupt.h"
#include "train/run.h"

// NOLINTNEXTLINE(misc-use-internal-linkage): looked up by name
extern "C" __attribute__((visibility("default"))) bool posefix_train_run(const posefix::train::RunRequest* request) {
  // This object has its own copy of the flag; a signal that came before goes into it.
  posefix::catch_interrupts();
  if (request->interrupted != nullptr && request->interrupted()) std::raise(SIGINT);
  try {
    return posefix::train::run(*request);
  } catch (const c10::Error& error) {
    throw posefix::failed("LibTorch: {}", error.what_without_backtrace());
  }
}
