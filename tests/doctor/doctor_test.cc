// The verb doctor: exit codes, and the truth about machines with the CPU alone, with an NPU (a stand-in), and with a
// broken CANN.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <cstdio>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>

#include "base/testing/temporary_folder.h"

namespace posefix {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;

struct Answer {
  int code = -1;
  std::string text;

  json device(const char* name) const { return json::parse(text).at("devices").at(name); }
  // The finding of that name: {"status", "found", "advice"}.
  json finding(const char* name, const char* what) const {
    const json report = device(name);
    for (const json& finding : report.at("findings")) {
      if (finding.at("what") == what) return finding;
    }
    ADD_FAILURE() << "no finding about " << what << " in " << text;
    return {};
  }
};

// `cann` is a folder of the stand-in, or one that does not exist; atc is looked for in `atc_folder` first.
Answer doctor(const std::string& cann, const std::string& arguments,
              const std::string& atc_folder = ASCEND_STUB_DIR "/bin") {
  const std::string command = fmt::format(
      "env -u ASCEND_TOOLKIT_HOME -u ASCEND_HOME_PATH POSEFIX_ACL_LIBRARY_DIR='{}/{}' PATH='{}':\"$PATH\" '{}' "
      "doctor {} 2>/dev/null",
      ASCEND_STUB_DIR, cann, atc_folder, POSEFIX_PROGRAM, arguments);
  Answer answer;
  FILE* pipe = ::popen(command.c_str(), "r");
  char buffer[4096];
  for (size_t got = 0; (got = std::fread(buffer, 1, sizeof buffer, pipe)) > 0;) answer.text.append(buffer, got);
  const int status = ::pclose(pipe);
  answer.code = WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
  return answer;
}

TEST(Doctor, NothingButTheCpu) {
  const Answer answer = doctor("absent", "--json");
  EXPECT_EQ(answer.code, 0);
  EXPECT_EQ(answer.device("cpu").at("refines"), answer.finding("cpu", "oneDNN").at("status") == "ok");
  EXPECT_EQ(answer.device("cpu").at("trains"), answer.finding("cpu", "LibTorch").at("status") == "ok");
  EXPECT_FALSE(answer.device("npu").at("works"));
  EXPECT_EQ(answer.finding("npu", "AscendCL").at("status"), "missing");
  EXPECT_THAT(answer.finding("npu", "AscendCL").at("advice"), HasSubstr("install CANN"));
  EXPECT_EQ(doctor("absent", "--device cpu").code, 0);
  EXPECT_EQ(doctor("absent", "--device npu").code, 1);
}

TEST(Doctor, AnNpuOfTheNewAndOfTheOldLayout) {
  for (const char* layout : {"lib", "lib_old"}) {
    const Answer answer = doctor(layout, "--device npu --json");
    EXPECT_EQ(answer.code, 0) << answer.text;
    EXPECT_TRUE(answer.device("npu").at("refines"));
    EXPECT_EQ(answer.finding("npu", "AscendCL").at("status"), "ok");
    EXPECT_THAT(answer.finding("npu", "NPU").at("found"), HasSubstr("Ascend"));
    EXPECT_THAT(answer.finding("npu", "atc").at("found"), HasSubstr("/bin/atc"));
  }
}

TEST(Doctor, ABrokenCann) {
  const Answer answer = doctor("lib_broken", "--device npu --json");
  EXPECT_EQ(answer.code, 1);
  EXPECT_FALSE(answer.device("npu").at("works"));
  EXPECT_EQ(answer.finding("npu", "AscendCL").at("status"), "broken");
  EXPECT_THAT(answer.finding("npu", "AscendCL").at("found"), HasSubstr("lacks aclInit"));
}

// An atc that is there and cannot be started is neither ok nor "not found".
TEST(Doctor, AnAtcThatDoesNotStart) {
  const TemporaryFolder folder;
  const auto atc = [&](const std::string& script, bool may_be_executed) {
    folder.write("atc", script);
    std::filesystem::permissions(folder / "atc", std::filesystem::perms(may_be_executed ? 0755 : 0644));
    return doctor("lib", "--device npu --json", folder.path()).finding("npu", "atc");
  };
  const json no_interpreter = atc("#!/nowhere/python3\n", true);
  EXPECT_EQ(no_interpreter.at("status"), "broken");
  EXPECT_THAT(no_interpreter.at("found"), HasSubstr("the interpreter /nowhere/python3, which is missing"));
  const json no_command = atc("#!/usr/bin/env nowhere-python3\n", true);
  EXPECT_EQ(no_command.at("status"), "broken");
  EXPECT_THAT(no_command.at("found"), HasSubstr("nowhere-python3"));
  const json not_executable = atc("#!/bin/sh\n", false);
  EXPECT_EQ(not_executable.at("status"), "broken");
  EXPECT_THAT(not_executable.at("found"), HasSubstr("may not be executed by this user"));
  EXPECT_THAT(not_executable.at("advice"), HasSubstr("chmod +x"));
  EXPECT_EQ(atc("#!/bin/sh\nexit 1\n", true).at("status"), "ok");  // it starts
}

TEST(Doctor, AnUnknownDevice) { EXPECT_EQ(doctor("absent", "--device gpu").code, 2); }

}  // namespace
}  // namespace posefix
