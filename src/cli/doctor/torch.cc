#include <dlfcn.h>
#include <fmt/format.h>
#include <unistd.h>

#include <filesystem>

#include "cli/doctor/library.h"
#include "cli/doctor/probe.h"

namespace posefix::cli::doctor {
namespace {

namespace fs = std::filesystem;

// Beside the program, in ../lib of it, then wherever the loader looks.
std::vector<std::string> places(const char* library) {
  std::error_code ignored;
  const fs::path folder = fs::read_symlink("/proc/self/exe", ignored).parent_path();
  return {(folder / library).string(), (folder.parent_path() / "lib" / library).string(), library};
}

// "..., TORCH_VERSION=1.13.1, ..." of LibTorch's own description of itself.
std::string version_of(const std::string& config) {
  const size_t at = config.find("TORCH_VERSION=");
  if (at == std::string::npos) return "version unknown";
  const size_t begin = config.find('=', at) + 1;
  return config.substr(begin, config.find_first_of(", \n", begin) - begin);
}

TorchFound look_for_torch() {
  TorchFound found;
  const Library train(places("libposefix_train.so"));
  if (!train.is_loaded()) {
    found.problem = train.problem();
    return found;
  }
  // at::show_config(), with the C++11 ABI that this program is built with.
  using ShowConfig = std::string();
  auto* show_config = train.find<ShowConfig>("_ZN2at11show_configB5cxx11Ev");
  if (show_config == nullptr) {
    found.problem = train.path() + ": brings a LibTorch that does not say what it is";
    return found;
  }
  Dl_info info{};
  if (::dladdr(reinterpret_cast<const void*>(show_config), &info) != 0) found.path = info.dli_fname;
  found.version = version_of(show_config());
  return found;
}

}  // namespace

const TorchFound& find_torch() {
  static const TorchFound found = look_for_torch();
  return found;
}

Finding torch_finding() {
  const TorchFound& torch = find_torch();
  if (!torch.version.empty()) return {"LibTorch", Status::kOk, torch.version + " in " + torch.path, ""};
  return {"LibTorch", Status::kMissing, torch.problem,
          "only training needs it: install libtorch-dev and libopenblas0-pthread, build with POSEFIX_TORCH=ON"};
}

const char* status_name(Status status) {
  switch (status) {
    case Status::kOk:
      return "ok";
    case Status::kNote:
      return "note";
    case Status::kMissing:
      return "missing";
    case Status::kBroken:
      return "broken";
  }
  return "";
}

}  // namespace posefix::cli::doctor
