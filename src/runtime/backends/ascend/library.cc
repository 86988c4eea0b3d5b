#include "runtime/backends/ascend/library.h"

#include <dlfcn.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
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

// Why a library could not be loaded; "" if it is not there. One that is there names what it lacks first.
std::string refusal(const std::string& path) {
  const char* reason = ::dlerror();
  const std::string text = reason != nullptr ? reason : path;
  return text.starts_with(path + ": cannot open shared object file: No such file") ? "" : text;
}

// All of one set or nothing. `folder` is empty where the dynamic linker is to look.
Handles open_set(const std::vector<std::string>& names, const fs::path& folder, LibrarySearch& search) {
  Handles handles;
  std::vector<std::string> paths;
  for (const std::string& name : names) {
    const std::string path = folder.empty() ? name : (folder / name).string();
    void* handle = ::dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (handle == nullptr) {
      const std::string reason = refusal(path);
      if (!reason.empty()) {
        search.refused.push_back(reason.starts_with(path) ? reason : fmt::format("{}: {}", path, reason));
      }
      if (reason.empty() && !paths.empty()) {
        search.refused.push_back(fmt::format("{}: there is no {}", paths.front(), path));
      }
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
  search.folders.push_back(folder.string());
  return false;
}

// The one folder to look in, or null.
const char* asked_folder() {
  const char* folder = std::getenv("POSEFIX_ACL_LIBRARY_DIR");
  return folder != nullptr && *folder != '\0' ? folder : nullptr;
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
    if (const char* asked = asked_folder()) {
      found.search = search_folder(asked, found.functions);
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
  if (const char* asked = asked_folder(); asked != nullptr && !fs::is_directory(asked)) {
    throw bad_input("$POSEFIX_ACL_LIBRARY_DIR: {} is no folder; it names the one that AscendCL's libraries are in",
                    asked);
  }
  if (search.is_broken()) {
    throw failed(
        "AscendCL cannot be used: {}. This CANN is broken, without its driver, or of a version that posefix does not "
        "know; source its set_env.sh or install it again (posefix doctor --device npu says what was found)",
        search.problem());
  }
  throw failed(
      "AscendCL is not on this machine: {}. Install CANN (toolkit or nnrt) and source its set_env.sh, or compile the "
      "model for the CPU (posefix compile ... --target cpu)",
      search.problem());
}

std::string LibrarySearch::problem() const {
  if (!loaded.empty()) {
    constexpr size_t kNamed = 4;
    const size_t named = std::min(missing_symbols.size(), kNamed);
    const std::string rest =
        missing_symbols.size() > named ? fmt::format(" and {} more", missing_symbols.size() - named) : "";
    return fmt::format(
        "{} lacks {}{}", fmt::join(loaded, ", "),
        fmt::join(missing_symbols.begin(), missing_symbols.begin() + static_cast<ptrdiff_t>(named), ", "), rest);
  }
  if (!refused.empty()) return fmt::format("{}", fmt::join(refused, "; "));
  std::string places;
  for (const std::string& folder : folders) {
    places += (places.empty() ? "" : ", ") + (folder.empty() ? "the dynamic linker's path" : folder);
  }
  return "neither libacl_rt.so with libacl_mdl.so nor libascendcl.so in " + places;
}

}  // namespace posefix::runtime::ascend
