// From a frozen network to an .om with the stub's atc: the command, its failures, and the files that are there
// afterwards.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <chrono>
#include <cstdlib>
#include <set>
#include <thread>

#include "base/error.h"
#include "base/file.h"
#include "base/testing/temporary_folder.h"
#include "compiler/ascend/child_process.h"
#include "compiler/ascend/compile_om.h"
#include "model_files.h"
#include "runtime/session.h"

namespace ascend_stub {
namespace {

namespace fs = std::filesystem;
using posefix::Error;
using posefix::ErrorCode;
using posefix::compiler::ascend::compile_om;
using posefix::compiler::ascend::FrozenNetwork;
using posefix::compiler::ascend::OmOptions;
using posefix::compiler::ascend::OmResult;
using posefix::compiler::ascend::Precision;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::UnorderedElementsAre;

FrozenNetwork tiny_network(int64_t height = 32, int64_t width = 24, int64_t joints = 3) {
  FrozenNetwork network;
  network.bytes = tiny_graph(joints);
  network.height = height;
  network.width = width;
  network.joints = joints;
  network.mean_bgr = {kMeanBgr[0], kMeanBgr[1], kMeanBgr[2]};
  network.skeleton_yaml = "name: three\n";
  return network;
}

class AscendCompile : public ::testing::Test {
 protected:
  void SetUp() override {
    ::setenv("PATH", "/usr/bin:/bin", 1);
    for (const char* name : {"ASCEND_TOOLKIT_HOME", "ASCEND_HOME_PATH", "ASCEND_STUB_ATC"}) ::unsetenv(name);
  }
  void TearDown() override { ::setenv("PATH", "/usr/bin:/bin", 1); }
  void use_atc() { ::setenv("PATH", ASCEND_STUB_DIR "/bin:/usr/bin:/bin", 1); }
  fs::path om() const { return folder_.path() / "posefix.om"; }
  std::set<std::string> files() const {
    std::set<std::string> names;
    for (const auto& entry : fs::directory_iterator(folder_.path())) names.insert(entry.path().filename());
    return names;
  }
  OmOptions options() const {
    OmOptions options;
    options.soc = "310P3";
    return options;
  }
  // What compiling says; nothing may be left in the folder.
  std::string error_of(const FrozenNetwork& network, const OmOptions& options, ErrorCode code = ErrorCode::kFailed) {
    try {
      compile_om(network, options, om());
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), code) << error.what();
      EXPECT_THAT(files(), UnorderedElementsAre());
      return error.what();
    }
    ADD_FAILURE() << "no error";
    return "";
  }

  posefix::TemporaryFolder folder_;
};

TEST_F(AscendCompile, CommandIsThePortsApartFromPrecision) {
  OmOptions blog = options();
  blog.soc = "Ascend310";
  blog.emit_only = true;
  const std::string expected =
      "atc --framework=3 --model=posefix.pb --input_format=ND "
      "--input_shape=\"Placeholder:16,384,288,3;Placeholder_2:16,17,2;Placeholder_4:16,17\" --output=posefix "
      "--output_type=FP32 --out_nodes=\"mul_15:0\" --soc_version=Ascend310";
  for (const auto& [precision, flags] : {std::pair{Precision::kF32, " --precision_mode=must_keep_origin_dtype"},
                                         std::pair{Precision::kF16, " --precision_mode=force_fp16"},
                                         std::pair{Precision::kMixed,
                                                   " --precision_mode=allow_mix_precision "
                                                   "--keep_dtype=posefix.keep_dtype.txt"}}) {
    blog.precision = precision;
    EXPECT_EQ(compile_om(tiny_network(384, 288, 17), blog, om()).command, expected + flags);
  }
}

TEST_F(AscendCompile, GearsAippAndOnnxInTheCommand) {
  OmOptions options = this->options();
  options.emit_only = true;
  options.batches = {1, 2, 8};
  EXPECT_THAT(compile_om(tiny_network(), options, om()).command,
              AllOf(HasSubstr("Placeholder:-1,32,24,3;Placeholder_2:-1,3,2;Placeholder_4:-1,3"),
                    HasSubstr("--dynamic_batch_size=\"1,2,8\"")));
  options.aipp = true;
  EXPECT_THAT(compile_om(tiny_network(), options, om()).command,
              AllOf(HasSubstr("--input_format=NHWC"), HasSubstr("--insert_op_conf=posefix.aipp.cfg")));
  options.aipp = false;
  FrozenNetwork onnx = tiny_network();
  onnx.is_onnx = true;
  EXPECT_THAT(compile_om(onnx, options, om()).command,
              AllOf(HasSubstr("--framework=5"), HasSubstr("image:-1,32,24,3;pose:-1,3,2;valid:-1,3"),
                    Not(HasSubstr("out_nodes"))));
}

TEST_F(AscendCompile, CompiledModelRunsWithItsSidecar) {
  use_atc();
  ::setenv("POSEFIX_ACL_LIBRARY_DIR", ASCEND_STUB_DIR "/lib", 1);
  for (const bool aipp : {false, true}) {
    for (const std::vector<int64_t>& batches : {std::vector<int64_t>{4}, std::vector<int64_t>{1, 4}}) {
      OmOptions options = this->options();
      options.batches = batches;
      options.aipp = aipp;
      std::string log;
      options.on_log = [&](std::string_view text) { log += text; };
      const OmResult result = compile_om(tiny_network(), options, om());
      EXPECT_TRUE(result.is_compiled);
      EXPECT_THAT(log, HasSubstr("ATC run success"));
      EXPECT_THAT(files(), UnorderedElementsAre("posefix.om", "posefix.om.json", "posefix.pb"));
      const auto sidecar = posefix::runtime::ascend::read_om_sidecar(folder_.path() / "posefix.om.json");
      EXPECT_EQ(sidecar.atc_version, "stub-1.0");
      EXPECT_EQ(sidecar.soc, "Ascend310P3");
      EXPECT_EQ(sidecar.skeleton_yaml, "name: three\n");
      const auto session = posefix::runtime::open_session(om(), {});
      std::vector<uint8_t> crop(32 * 24 * 3, 200);
      const std::vector<float> pose{1, 2, 3, 4, 5, 6};
      const std::vector<float> valid{1, 0, 1};
      std::vector<float> coords(6);
      session->run({1, crop, pose, valid}, {coords, {}});
      const double sum = 32 * 24 * (600 - kMeanBgr[0] - kMeanBgr[1] - kMeanBgr[2]);
      for (size_t i = 0; i < coords.size(); ++i) {
        EXPECT_NEAR(coords[i], pose[i] + valid[i / 2] * 4 * kImageWeight * sum, 2e-3);
      }
    }
  }
}

TEST_F(AscendCompile, AtcIsFoundBelowTheToolkit) {
  fs::create_directories(folder_.path() / "cann/compiler/bin");
  fs::create_symlink(ASCEND_STUB_DIR "/bin/atc", folder_.path() / "cann/compiler/bin/atc");
  for (const char* variable : {"ASCEND_TOOLKIT_HOME", "ASCEND_HOME_PATH"}) {
    EXPECT_FALSE(posefix::compiler::ascend::find_atc().program);
    ::setenv(variable, (folder_.path() / "cann").c_str(), 1);
    EXPECT_TRUE(posefix::compiler::ascend::find_atc().program);
    ::unsetenv(variable);
  }
}

TEST_F(AscendCompile, AnotherHostsSuffixIsRemoved) {
  use_atc();
  ::setenv("ASCEND_STUB_ATC", "suffix", 1);
  EXPECT_TRUE(compile_om(tiny_network(), options(), om()).is_compiled);
  EXPECT_TRUE(fs::exists(om()));
}

TEST_F(AscendCompile, WithoutAtcTheScriptDoesItElsewhere) {
  OmOptions options = this->options();
  options.aipp = true;
  const OmResult result = compile_om(tiny_network(), options, om());
  EXPECT_FALSE(result.is_compiled);
  EXPECT_THAT(files(), UnorderedElementsAre("posefix.pb", "posefix.om.json", "posefix.atc.sh", "posefix.keep_dtype.txt",
                                            "posefix.aipp.cfg"));
  use_atc();
  const auto run = posefix::compiler::ascend::run_child(folder_.path() / "posefix.atc.sh", {}, "/", 60, {});
  EXPECT_EQ(run.exit_code, 0) << run.output;
  const auto sidecar = posefix::runtime::ascend::read_om_sidecar(folder_.path() / "posefix.om.json");
  EXPECT_EQ(sidecar.om_bytes, fs::file_size(om()));
  posefix::runtime::ascend::check_om_digest(sidecar, om());
}

TEST_F(AscendCompile, RefusalsAreExplained) {
  use_atc();
  FrozenNetwork network = tiny_network();
  network.bytes = tiny_graph(3) + extra_node("AddV2");
  EXPECT_THAT(error_of(network, options()),
              AllOf(HasSubstr("E19010"), HasSubstr("no parser"), HasSubstr("atc --frame")));
  network.bytes = tiny_graph(3) + extra_node("Conv2D", "EXPLICIT");
  EXPECT_THAT(error_of(network, options()), HasSubstr("E19014"));
  network.bytes = tiny_graph(3) + extra_node("Conv2D", "VALID", true);
  EXPECT_THAT(error_of(network, options()), HasSubstr("E19014"));
  network.bytes = tiny_graph(3) + extra_node("Conv2DBackpropInput", "VALID");
  EXPECT_THAT(error_of(network, options()), HasSubstr("E19014"));
  network.bytes = "not a graph";
  EXPECT_THAT(error_of(network, options()), HasSubstr("E19005"));
  network.bytes = tiny_graph(4);  // other joints than the shapes say
  EXPECT_THAT(error_of(network, options()), HasSubstr("E89999"));
  OmOptions unknown_soc = options();
  unknown_soc.soc = "Ascend310Z9";
  EXPECT_THAT(error_of(tiny_network(), unknown_soc), AllOf(HasSubstr("E10001"), HasSubstr("npu-smi info")));
}

// The stub's atc itself, called as nobody should.
TEST_F(AscendCompile, StubAtcRefusesWrongCommandLines) {
  posefix::write_file_atomically(folder_.path() / "m.pb", tiny_graph(3));
  const std::vector<std::string> good{
      "--framework=3",        "--model=m.pb",
      "--output=m",           "--soc_version=Ascend310P3",
      "--out_nodes=mul_15:0", "--input_shape=Placeholder:2,8,8,3;Placeholder_2:2,3,2;Placeholder_4:2,3"};
  const auto run = [&](const std::vector<std::string>& arguments) {
    return posefix::compiler::ascend::run_child(ASCEND_STUB_DIR "/bin/atc", arguments, folder_.path(), 60, {});
  };
  EXPECT_EQ(run(good).exit_code, 0) << run(good).output;
  const auto replaced = [&](size_t index, const std::string& argument) {
    std::vector<std::string> arguments = good;
    arguments[index] = argument;
    return run(arguments).output;
  };
  EXPECT_THAT(replaced(0, "--frame=3"), HasSubstr("E10005"));
  EXPECT_THAT(replaced(2, "--log=info"), HasSubstr("E10007"));
  EXPECT_THAT(replaced(4, "--out_nodes=mul_16:0"), HasSubstr("E10016"));
  EXPECT_THAT(replaced(4, "--out_nodes=mul_15"), HasSubstr("E10016"));
  EXPECT_THAT(replaced(5, "--log=info"), HasSubstr("E10011"));
  EXPECT_THAT(replaced(5, "--input_shape=Placeholder:2,8,8,3;Placeholder_2:2,3,2"), HasSubstr("E10011"));
  EXPECT_THAT(replaced(5, "--input_shape=Placeholder:-1,8,8,3;Placeholder_2:-1,3,2;Placeholder_4:-1,3"),
              HasSubstr("E10011"));
  EXPECT_THAT(replaced(5, "--input_shape=image:2,8,8,3;Placeholder:2,8,8,3;Placeholder_2:2,3,2;Placeholder_4:2,3"),
              HasSubstr("E10016"));
}

TEST_F(AscendCompile, CrashAndHangLeaveNothingBehind) {
  use_atc();
  ::setenv("ASCEND_STUB_ATC", "crash", 1);
  EXPECT_THAT(error_of(tiny_network(), options()), HasSubstr("signal 6"));
  ::setenv("ASCEND_STUB_ATC", "hang", 1);
  OmOptions hurried = options();
  hurried.timeout_s = 1;
  EXPECT_THAT(error_of(tiny_network(), hurried), HasSubstr("did not finish within 1 s"));
}

TEST_F(AscendCompile, OptionsThatDoNotGoTogether) {
  OmOptions options = this->options();
  options.soc = "310 P3";
  EXPECT_THAT(error_of(tiny_network(), options, ErrorCode::kBadInput), HasSubstr("chip's name"));
  options.soc = "310P3";
  options.aipp = true;
  FrozenNetwork onnx = tiny_network();
  onnx.is_onnx = true;
  EXPECT_THAT(error_of(onnx, options, ErrorCode::kBadInput), HasSubstr("--via pb"));
  EXPECT_THROW(compile_om(tiny_network(), options, folder_.path() / "posefix.plan"), Error);
  for (const char* text : {"", "0", "1,1", "2,", "x", "1;2", "-1", "5000"}) {
    EXPECT_THROW(posefix::compiler::ascend::parse_batches(text), Error) << text;
  }
  EXPECT_EQ(posefix::compiler::ascend::parse_batches("8,1,4"), (std::vector<int64_t>{1, 4, 8}));
  EXPECT_THROW(posefix::compiler::ascend::parse_precision("int8"), Error);
}

TEST(ChildProcess, TimeLimitEndsTheWholeGroup) {
  const posefix::TemporaryFolder folder;
  const auto result = posefix::compiler::ascend::run_child(
      "/bin/sh", {"-c", "sleep 300 & echo $! > child; trap '' TERM; sleep 300"}, folder.path(), 0.5, {});
  EXPECT_TRUE(result.timed_out);
  const pid_t child = std::atoi(posefix::read_file(folder.path() / "child").c_str());
  ASSERT_GT(child, 0);
  // Its parent is gone; whoever adopts it needs a moment to clear it away.
  for (int i = 0; i < 200 && ::kill(child, 0) == 0; ++i) {
    const std::string state = posefix::read_file("/proc/" + std::to_string(child) + "/stat");
    if (state.find(") Z ") != std::string::npos) return;
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  EXPECT_NE(::kill(child, 0), 0);
}

// The kernel says "No such file" of all of these.
TEST_F(AscendCompile, AtcThatCannotBeStartedIsExplained) {
  const posefix::TemporaryFolder folder;
  const fs::path atc = folder.path() / "atc";
  ::setenv("PATH", folder.path().c_str(), 1);
  const auto error = [&](const std::string& text) {
    posefix::write_file_atomically(atc, text);
    fs::permissions(atc, fs::perms::owner_all);
    return error_of(tiny_network(), options());
  };
  EXPECT_THAT(error("#!/nonexistent/python3.7 -s\nprint()\n"),
              AllOf(HasSubstr(atc.string()), HasSubstr("the interpreter /nonexistent/python3.7, which is missing"),
                    Not(HasSubstr("No such file"))));
  EXPECT_THAT(error("#!/bin/sh\r\necho\r\n"), HasSubstr("'#!/bin/sh' ends in a carriage return"));
  EXPECT_THAT(error("neither program nor script\n"), HasSubstr("neither a program for this machine's processor"));
  std::string other_system = posefix::read_file("/bin/true");
  const size_t loader = other_system.find("/lib64/ld-linux");
  if (loader == std::string::npos) return;  // another architecture's name
  other_system[loader + 1] = 'X';
  EXPECT_THAT(error(other_system), HasSubstr("the loader that it was linked for is missing"));
}

TEST(ChildProcess, OutputExitCodeAndMissingProgram) {
  std::string log;
  const auto result = posefix::compiler::ascend::run_child("/bin/sh", {"-c", "pwd; echo err >&2; exit 3"}, "/", 60,
                                                           [&](std::string_view text) { log += text; });
  EXPECT_EQ(result.exit_code, 3);
  EXPECT_EQ(result.output, "/\nerr\n");
  EXPECT_EQ(log, result.output);
  EXPECT_THROW(posefix::compiler::ascend::run_child("/nonexistent/atc", {}, "/", 60, {}), Error);
  // A background child that keeps the pipe open does not keep us.
  EXPECT_EQ(posefix::compiler::ascend::run_child("/bin/sh", {"-c", "sleep 300 & echo done"}, "/", 60, {}).output,
            "done\n");
}

}  // namespace
}  // namespace ascend_stub
