// posefix doctor: what of this machine posefix can use, what is missing, and how to get it.
#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/spelling.h"
#include "cli/command.h"
#include "cli/doctor/probe.h"

namespace posefix::cli {
namespace {

using doctor::DeviceReport;
using doctor::Finding;
using Json = nlohmann::ordered_json;

struct Flags {
  std::string device;
  bool json = false;
};

struct Probe {
  const char* device;
  DeviceReport (*run)();
};
constexpr Probe kProbes[] = {{"cpu", &doctor::probe_cpu}, {"cuda", &doctor::probe_cuda}, {"npu", &doctor::probe_npu}};

std::vector<DeviceReport> probe(const std::string& device) {
  std::vector<DeviceReport> reports;
  std::vector<std::string> known;
  for (const Probe& candidate : kProbes) {
    known.emplace_back(candidate.device);
    if (device.empty() || device == candidate.device) reports.push_back(candidate.run());
  }
  if (reports.empty()) {
    const std::string nearest = device.starts_with("ascend") ? "npu"
                                : device.starts_with("gpu")  ? "cuda"
                                                             : nearest_name(device, known);
    throw bad_input("--device {}: expected cpu, cuda or npu; the nearest is {}", device, nearest);
  }
  return reports;
}

Json to_json(const std::vector<DeviceReport>& reports) {
  Json devices;
  for (const DeviceReport& report : reports) {
    Json findings = Json::array();
    for (const Finding& finding : report.findings) {
      findings.push_back({{"what", finding.what},
                          {"status", doctor::status_name(finding.status)},
                          {"found", finding.found},
                          {"advice", finding.advice}});
    }
    devices[report.device] = {{"works", report.refines || report.trains},
                              {"refines", report.refines},
                              {"trains", report.trains},
                              {"findings", findings}};
  }
  return {{"devices", devices}};
}

std::string verdict(const DeviceReport& report) {
  if (report.refines && report.trains) return "refines and trains";
  if (report.refines) return "refines; does not train";
  return report.trains ? "trains; does not refine" : "cannot be used";
}

// Broken at spaces so that a line of the last column stays short where it can.
std::string wrapped(const std::string& text, size_t indent) {
  constexpr size_t kWidth = 88;
  std::string lines;
  size_t begin = 0;
  while (text.size() - begin > kWidth) {
    size_t end = text.rfind(' ', begin + kWidth);
    if (end == std::string::npos || end <= begin) end = text.find(' ', begin + kWidth);
    if (end == std::string::npos) break;
    lines += text.substr(begin, end - begin) + "\n" + std::string(indent, ' ');
    begin = end + 1;
  }
  return lines + text.substr(begin);
}

void print_table(const std::vector<DeviceReport>& reports) {
  constexpr size_t kColumn = 32;  // where the last one begins
  for (const DeviceReport& report : reports) {
    fmt::print("{}: {}\n", report.device, verdict(report));
    for (const Finding& finding : report.findings) {
      fmt::print("  {:<8} {:<20} {}\n", doctor::status_name(finding.status), finding.what,
                 wrapped(finding.found, kColumn));
      if (finding.advice.empty()) continue;
      fmt::print("  {:<8} {:<20} -> {}\n", "", "", wrapped(finding.advice, kColumn + std::string_view("-> ").size()));
    }
  }
}

void run(const Flags& flags) {
  const std::vector<DeviceReport> reports = probe(flags.device);
  if (flags.json) {
    print_json(to_json(reports));
  } else {
    print_table(reports);
  }
  const DeviceReport& asked = reports.front();  // without --device: the CPU
  if (!asked.refines && !asked.trains) {
    std::fflush(stdout);
    throw failed("the device {} cannot be used on this machine; what is missing stands above", asked.device);
  }
}

std::function<void()> setup(CLI::App& app) {
  auto flags = std::make_shared<Flags>();
  app.add_option("--device", flags->device, "cpu, cuda or npu: that one alone, exit code 0 if it would work");
  app.add_flag("--json", flags->json, "print JSON instead of a table");
  return [flags] { run(*flags); };
}

const CommandRegistration registration{"doctor", "what of this machine can be used, and what is missing", &setup};

}  // namespace
}  // namespace posefix::cli
