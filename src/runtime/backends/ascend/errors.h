// AscendCL's return codes in words.
#pragma once

#include <string>
#include <string_view>

#include "base/error.h"
#include "runtime/backends/ascend/library.h"

namespace posefix::runtime::ascend {

// What the code means and what to do, for a sentence: "the device has not enough memory; use a smaller --batch".
std::string_view explain(aclError code);

// An Error (failed) that remembers the code.
class AclFailure : public Error {
 public:
  AclFailure(aclError code, const std::string& message) : Error(ErrorCode::kFailed, message), acl_code_(code) {}
  aclError acl_code() const { return acl_code_; }

 private:
  aclError acl_code_;
};

// "Ascend: aclrtMalloc (image, 5.1 MiB) failed with 207001: ... ; the driver says: ...".
// Reads (and so clears) the thread's aclGetRecentErrMsg.
AclFailure acl_error(const Acl& acl, std::string_view call, aclError code);

inline void check(const Acl& acl, std::string_view call, aclError code) {
  if (code != kAclSuccess) throw acl_error(acl, call, code);
}

// The device no longer answers: waiting for it or giving memory back would block.
bool is_device_lost(aclError code);

}  // namespace posefix::runtime::ascend
