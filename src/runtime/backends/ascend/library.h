// AscendCL found on this machine: libacl_rt.so and libacl_mdl.so of a newer CANN, or libascendcl.so of an older one.
//
// Invariants: a loaded Library has every required function; it stays loaded until the process ends (CANN keeps threads
// of its own). Non-goals: initialising it, see device.h.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "runtime/backends/ascend/acl.h"

namespace posefix::runtime::ascend {

// Pointers to the functions; the optional ones may be null.
struct Acl {
#define POSEFIX_ACL_MEMBER(function) \
  decltype(&::posefix::runtime::ascend::function) function = nullptr;  // NOLINT(bugprone-macro-parentheses)
  POSEFIX_ACL_REQUIRED(POSEFIX_ACL_MEMBER)
  POSEFIX_ACL_OPTIONAL(POSEFIX_ACL_MEMBER)
#undef POSEFIX_ACL_MEMBER
};

// What was found, for `doctor` and for messages.
struct LibrarySearch {
  bool is_usable = false;
  std::vector<std::string> loaded;           // paths of the libraries in use, or of the broken ones
  std::vector<std::string> missing_symbols;  // required functions that they lack
  std::vector<std::string> refused;          // libraries that are here and cannot be loaded, and why
  std::vector<std::string> folders;          // that have none; "" for where the dynamic linker looks

  bool is_broken() const { return !is_usable && (!loaded.empty() || !refused.empty()); }
  // What is wrong, in a line: "libascendcl.so lacks aclInit, ... and 37 more".
  std::string problem() const;
};

// Looks in $POSEFIX_ACL_LIBRARY_DIR alone when it is set; otherwise where the dynamic linker looks, then in lib64 of
// $ASCEND_TOOLKIT_HOME, $ASCEND_HOME_PATH and the usual folders below /usr/local/Ascend. Loads on the first call.
const LibrarySearch& search_library();

// Error (failed): nothing found, or a library that lacks functions (they are named), and what to do.
const Acl& acl();

// The same search in one folder, for tests; fills `functions` when usable.
LibrarySearch search_folder(const std::filesystem::path& folder, Acl& functions);

}  // namespace posefix::runtime::ascend
