// Finds and loads libposefix_torch_backend.so.
#include <dlfcn.h>
#include <fmt/format.h>

#include "base/error.h"
#include "runtime/backend.h"

namespace posefix::runtime {
namespace {

constexpr const char* kLibrary = "libposefix_torch_backend.so";

// Beside the program or library that holds this code, in ../lib of it, then wherever the loader looks.
std::vector<std::string> candidates() {
  std::vector<std::string> paths;
  Dl_info self{};
  if (::dladdr(reinterpret_cast<const void*>(&open_torch), &self) != 0 && self.dli_fname != nullptr) {
    std::error_code ignored;
    std::filesystem::path program = std::filesystem::weakly_canonical(self.dli_fname, ignored);
    if (!std::filesystem::exists(program, ignored)) program = std::filesystem::read_symlink("/proc/self/exe", ignored);
    const std::filesystem::path folder = program.parent_path();
    paths.push_back((folder / kLibrary).string());
    paths.push_back((folder.parent_path() / "lib" / kLibrary).string());
  }
  paths.emplace_back(kLibrary);
  return paths;
}

}  // namespace

std::unique_ptr<Session> open_torch(const std::filesystem::path& model, const SessionOptions& options) {
  std::string reasons;
  for (const std::string& path : candidates()) {
    void* library = ::dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (library == nullptr) {
      reasons += fmt::format("\n  {}", ::dlerror());
      continue;
    }
    // Never closed: LibTorch's threads and singletons do not survive it.
    auto* entry = reinterpret_cast<TorchEntry*>(::dlsym(library, kTorchEntry));
    if (entry == nullptr) throw failed("{}: does not export {}; it belongs to another version", path, kTorchEntry);
    return std::unique_ptr<Session>(entry(&model, &options));
  }
  throw bad_input("the torch backend is not here; build with POSEFIX_TORCH=ON or use --backend cpu. Tried:{}", reasons);
}

}  // namespace posefix::runtime
