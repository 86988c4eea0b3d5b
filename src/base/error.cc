#include "base/error.h"

#include <cstdio>
#include <cstdlib>

namespace posefix {

void check_failed(const char* expression, const char* file, int line) {
  std::fprintf(stderr, "posefix: internal error: '%s' does not hold at %s:%d; this is a bug, please report it\n",
               expression, file, line);
  std::abort();
}

}  // namespace posefix
