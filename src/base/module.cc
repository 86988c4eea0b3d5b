#include "base/module.h"

#include <dlfcn.h>

#include <filesystem>
#include <vector>

#include "base/error.h"

namespace posefix {
namespace {

std::vector<std::string> candidates(const std::string& library) {
  std::error_code ignored;
  const std::filesystem::path program = std::filesystem::read_symlink("/proc/self/exe", ignored);
  const std::filesystem::path folder = program.parent_path();
  return {(folder / library).string(), (folder.parent_path() / "lib" / library).string(), library};
}

}  // namespace

void* load_from_module(const std::string& library, const std::string& symbol, const std::string& hint) {
  std::string reasons;
  for (const std::string& path : candidates(library)) {
    // Never closed: the threads and singletons of what it links do not survive that.
    void* handle = ::dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (handle == nullptr) {
      reasons += fmt::format("\n  {}", ::dlerror());
      continue;
    }
    void* address = ::dlsym(handle, symbol.c_str());
    if (address == nullptr) throw failed("{}: does not export {}; it belongs to another version", path, symbol);
    return address;
  }
  throw bad_input("{} could not be loaded; {}. Tried:{}", library, hint, reasons);
}

}  // namespace posefix
