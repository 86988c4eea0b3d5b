// The entry of libposefix_train.so.
#include <c10/util/Exception.h>

#include "base/error.h"
#include "base/interrupt.h"
#include "train/run.h"

// NOLINTNEXTLINE(misc-use-internal-linkage): looked up by name
extern "C" __attribute__((visibility("default"))) void posefix_train_run(const posefix::train::RunRequest* request) {
  posefix::catch_interrupts();  // this object has its own copy of the flag
  try {
    posefix::train::run(*request);
  } catch (const c10::Error& error) {
    throw posefix::failed("LibTorch: {}", error.what_without_backtrace());
  }
}
