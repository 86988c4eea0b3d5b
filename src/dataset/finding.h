// What a reader or a check has to say about a data set without giving up.
#pragma once

#include <functional>
#include <string>

namespace posefix::dataset {

enum class Severity {
  kWarning,  // can be used, but the user should know
  kError,    // training or evaluation would fail or be silently wrong
};

struct Finding {
  Severity severity;
  std::string kind;     // short, the same for all findings of one sort: "results without a picture"
  std::string message;  // file, place and what is wrong
};

using FindingSink = std::function<void(Finding)>;

}  // namespace posefix::dataset
