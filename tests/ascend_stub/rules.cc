#include "rules.h"

#include <cstdio>
#include <cstdlib>

namespace ascend_stub {

void break_rule(const char* rule, const std::string& detail) {
  std::fprintf(stderr, "ascend_stub: rule '%s' broken: %s\n", rule, detail.c_str());
  std::fflush(stderr);
  std::abort();
}

}  // namespace ascend_stub
