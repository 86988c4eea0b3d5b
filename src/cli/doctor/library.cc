#include "cli/doctor/library.h"

#include <dlfcn.h>
#include <link.h>

namespace posefix::cli::doctor {

Library::Library(const std::vector<std::string>& names) {
  for (const std::string& name : names) {
    handle_ = ::dlopen(name.c_str(), RTLD_LAZY | RTLD_LOCAL);
    if (handle_ != nullptr) {
      link_map* map = nullptr;
      const bool has_path = ::dlinfo(handle_, RTLD_DI_LINKMAP, &map) == 0 && map != nullptr && map->l_name[0] != '\0';
      path_ = has_path ? map->l_name : name;
      return;
    }
    const char* reason = ::dlerror();
    problem_ = reason != nullptr ? reason : name;
  }
}

void* Library::symbol(const char* name) const { return handle_ == nullptr ? nullptr : ::dlsym(handle_, name); }

}  // namespace posefix::cli::doctor
