#include <fmt/format.h>
#include <fmt/ranges.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "base/error.h"
#include "cli/doctor/library.h"
#include "cli/doctor/probe.h"
#include "compiler/ascend/atc.h"
#include "compiler/ascend/child_process.h"
#include "runtime/backends/ascend/device.h"
#include "runtime/backends/ascend/library.h"

namespace posefix::cli::doctor {
namespace {

namespace fs = std::filesystem;
namespace ascend = runtime::ascend;

// "Version=7.1.0" or "version=8.0.RC1" in one of CANN's small text files.
std::string version_in(const fs::path& file) {
  std::ifstream stream(file);
  for (std::string line; std::getline(stream, line);) {
    const size_t equals = line.find('=');
    if (equals == std::string::npos) continue;
    if (line.starts_with("Version") || line.starts_with("version")) return line.substr(equals + 1);
  }
  return "";
}

std::vector<fs::path> toolkits() {
  std::vector<fs::path> folders;
  for (const char* variable : {"ASCEND_TOOLKIT_HOME", "ASCEND_HOME_PATH"}) {
    if (const char* home = std::getenv(variable)) folders.emplace_back(home);
  }
  for (const char* home : {"ascend-toolkit/latest", "cann", "nnrt/latest"}) {
    folders.push_back(fs::path("/usr/local/Ascend") / home);
  }
  return folders;
}

Finding driver() {
  std::error_code ignored;
  std::vector<std::string> devices;
  for (const auto& entry : fs::directory_iterator("/dev", ignored)) {
    const std::string name = entry.path().filename().string();
    if (name.starts_with("davinci") && name != "davinci_manager") devices.push_back(entry.path().string());
  }
  const std::string version = version_in("/usr/local/Ascend/driver/version.info");
  if (devices.empty()) {
    return {"Ascend driver", version.empty() ? Status::kMissing : Status::kBroken,
            version.empty() ? "no /dev/davinci*" : "driver " + version + ", but no /dev/davinci*",
            "install the driver and firmware of the card; in a container pass the devices through"};
  }
  for (const std::string& device : devices) {
    if (::access(device.c_str(), R_OK | W_OK) != 0) {
      return {"Ascend driver", Status::kBroken, device + " cannot be opened by this user",
              "add the user to the group HwHiAiUser"};
    }
  }
  return {"Ascend driver", Status::kOk,
          fmt::format("{}, {}", version.empty() ? "version unknown" : version, fmt::join(devices, " ")), ""};
}

Finding toolkit() {
  std::error_code ignored;
  for (const fs::path& folder : toolkits()) {
    if (!fs::is_directory(folder, ignored)) continue;
    std::string version = version_in(folder / "version.cfg");
    for (const char* name : {"x86_64-linux", "aarch64-linux"}) {
      if (version.empty()) version = version_in(folder / name / "ascend_toolkit_install.info");
      if (version.empty()) version = version_in(folder / name / "ascend_nnrt_install.info");
    }
    return {"CANN", Status::kOk,
            fmt::format("{} in {}", version.empty() ? "version unknown" : version, folder.string()), ""};
  }
  return {"CANN", Status::kMissing, "no $ASCEND_TOOLKIT_HOME, no $ASCEND_HOME_PATH, nothing in /usr/local/Ascend",
          "install the CANN toolkit (or nnrt, to run models only) and source its set_env.sh"};
}

Finding acl_library() {
  const ascend::LibrarySearch& search = ascend::search_library();
  if (search.is_usable) return {"AscendCL", Status::kOk, fmt::format("{}", fmt::join(search.loaded, ", ")), ""};
  if (search.is_broken()) {
    return {"AscendCL", Status::kBroken, search.problem(),
            search.loaded.empty() ? "source CANN's set_env.sh; libascend_hal.so and libc_sec.so come with the driver"
                                  : "this CANN is broken or too old; install it again"};
  }
  return {"AscendCL", Status::kMissing, search.problem(), "install CANN (toolkit or nnrt) and source its set_env.sh"};
}

// Opens device 0 for a moment.
Finding device() {
  try {
    const ascend::Device opened(0);
    uint32_t count = 0;
    opened.acl().aclrtGetDeviceCount(&count);
    return {"NPU", Status::kOk,
            fmt::format("{} visible, device 0 is {}", count, opened.soc().empty() ? "of unknown kind" : opened.soc()),
            ""};
  } catch (const std::exception& error) {
    return {"NPU", Status::kBroken, error.what(), "see npu-smi info"};
  }
}

// Why an atc that is here does not start; "" if it does. What it answers to --help does not matter.
std::string starting_problem(const fs::path& program) {
  constexpr double kTimeoutS = 30;
  try {
    const auto result = compiler::ascend::run_child(program, {"--help"}, fs::temp_directory_path(), kTimeoutS, {});
    if (result.timed_out) return fmt::format("{} does not answer --help within {} s", program.string(), kTimeoutS);
    if (result.signal != 0) return fmt::format("{} --help is ended by signal {}", program.string(), result.signal);
    // What a shell, env and the loader of shared libraries answer when they cannot run a program.
    if (result.exit_code != 126 && result.exit_code != 127) return "";
    return fmt::format("{} does not start: {}", program.string(), result.output.substr(0, result.output.find('\n')));
  } catch (const Error& error) {
    if (error.code() == ErrorCode::kInterrupted) throw;
    return error.what();
  }
}

Finding atc() {
  const compiler::ascend::AtcSearch found = compiler::ascend::find_atc();
  if (found.not_executable) {
    return {"atc", Status::kBroken, found.not_executable->string() + " may not be executed by this user",
            "chmod +x " + found.not_executable->string()};
  }
  if (!found.program) {
    return {"atc", Status::kNote, "not on PATH nor below $ASCEND_TOOLKIT_HOME and $ASCEND_HOME_PATH",
            "only `posefix compile --target ascend:SOC` needs it; it comes with the CANN toolkit"};
  }
  const std::string problem = starting_problem(*found.program);
  if (problem.empty()) return {"atc", Status::kOk, found.program->string(), ""};
  return {"atc", Status::kBroken, problem, "source CANN's set_env.sh, or install the toolkit again"};
}

Finding torch_npu() {
  const TorchFound& torch = find_torch();
  if (torch.version.empty()) return torch_finding();
  const fs::path site_packages = fs::path(torch.path).parent_path().parent_path().parent_path();
  const Library library({(site_packages / "torch_npu/lib/libtorch_npu.so").string(), "libtorch_npu.so"});
  if (library.is_loaded()) return {"torch_npu", Status::kOk, library.path(), ""};
  return {
      "torch_npu", Status::kMissing, library.problem(),
      fmt::format("only training needs it: pip install torch and torch_npu 2.0 or later, build again (LibTorch here is "
                  "{})",
                  torch.version)};
}

}  // namespace

DeviceReport probe_npu() {
  DeviceReport report;
  report.device = "npu";
  report.findings.push_back(driver());
  report.findings.push_back(toolkit());
  report.findings.push_back(acl_library());
  if (report.findings.back().status == Status::kOk) {
    report.findings.push_back(device());
    report.refines = report.findings.back().status == Status::kOk;
  }
  report.findings.push_back(atc());
  report.findings.push_back(torch_npu());
  report.trains = report.refines && report.findings.back().status == Status::kOk;
  return report;
}

}  // namespace posefix::cli::doctor
