#include "runtime/backends/ascend/library.h"

#include <dlfcn.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <cstdlib>

#include "base/error.h"

namespace posefix::runtime::ascend {
namespace {

namespace fs = std::filesystem;

const std::vector<std::vector<std::string>> kLibrarySets{{"libacl_rt.so", "libacl_mdl.so"}, {"libascendcl.so"}};

using Handles = std::vector<void*>;

void* find_symbol(const Handles& handles, const char* name) {
  for (void* handle : handles) {
    if (void* symbol = ::dlsym(handle, name)) return symbol;
  }
  return nullptr;
}

// All of one set or nothing. `folder` is empty where the dynamic linker is to look.
Handles open_set(const std::vector<std::string>& names, const fs::path& folder, LibrarySearch& search) {
  Handles handles;
  std::vector<std::string> paths;
  for (const std::string& name : names) {
    const std::string path = folder.empty() ? name : (folder / name).string();
    void* handle = ::dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (handle == nullptr) {
      const char* reason = ::dlerror();
      search.attempts.push_back(reason != nullptr ? reason : path);
      return {};
    }
    handles.push_back(handle);
    paths.push_back(path);
  }
  search.loaded = paths;
  return handles;
}

template <typename Function>
void look_up(const Handles& handles, const char* name, Function& function, std::vector<std::string>* missing) {
  function = reinterpret_cast<Function>(find_symbol(handles, name));
  if (function == nullptr && missing != nullptr) missing->push_back(name);
}

bool load_functions(const Handles& handles, Acl& functions, LibrarySearch& search) {
  search.missing_symbols.clear();
#define POSEFIX_ACL_LOOK_UP(name) look_up(handles, #name, functions.name, &search.missing_symbols);
  POSEFIX_ACL_REQUIRED(POSEFIX_ACL_LOOK_UP)
#undef POSEFIX_ACL_LOOK_UP
#define POSEFIX_ACL_LOOK_UP(name) look_up(handles, #name, functions.name, nullptr);
  POSEFIX_ACL_OPTIONAL(POSEFIX_ACL_LOOK_UP)
#undef POSEFIX_ACL_LOOK_UP
  search.is_usable = search.missing_symbols.empty();
  return search.is_usable;
}

bool search_in(const fs::path& folder, Acl& functions, LibrarySearch& search) {
  for (const std::vector<std::string>& names : kLibrarySets) {
    const Handles handles = open_set(names, folder, search);
    if (!handles.empty() && load_functions(handles, functions, search)) return true;
  }
  return false;
}

std::vector<fs::path> folders() {
  std::vector<fs::path> folders{fs::path()};
  for (const char* variable : {"ASCEND_TOOLKIT_HOME", "ASCEND_HOME_PATH"}) {
    if (const char* home = std::getenv(variable)) folders.push_back(fs::path(home) / "lib64");
  }
  for (const char* home : {"ascend-toolkit/latest", "cann", "nnrt/latest"}) {
    folders.push_back(fs::path("/usr/local/Ascend") / home / "lib64");
  }
  return folders;
}

struct Loaded {
  Acl functions;
  LibrarySearch search;
};

const Loaded& loaded() {
  static const Loaded result = [] {
    Loaded found;
    if (const char* folder = std::getenv("POSEFIX_ACL_LIBRARY_DIR")) {
      found.search = search_folder(folder, found.functions);
      return found;
    }
    for (const fs::path& folder : folders()) {
      if (search_in(folder, found.functions, found.search)) break;
    }
    return found;
  }();
  return result;
}

}  // namespace

LibrarySearch search_folder(const fs::path& folder, Acl& functions) {
  LibrarySearch search;
  search_in(folder, functions, search);
  return search;
}

const LibrarySearch& search_library() { return loaded().search; }

const Acl& acl() {
  const LibrarySearch& search = loaded().search;
  if (search.is_usable) return loaded().functions;
  if (!search.loaded.empty()) {
    throw failed(
        "AscendCL: {} lacks {}: this CANN is broken or of a version that posefix does not know; install the "
        "CANN toolkit or nnrt again (posefix doctor --device npu says what is needed)",
        fmt::join(search.loaded, ", "), fmt::join(search.missing_symbols, ", "));
  }
  throw failed(
      "AscendCL is not on this machine: {}. Install CANN (toolkit or nnrt) and source its set_env.sh, or use "
      "--backend cpu with a model compiled for it",
      fmt::join(search.attempts, "; "));
}

}  // namespace posefix::runtime::ascend
