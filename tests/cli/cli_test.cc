// What every verb shares, as a user meets it: usage errors, pipes, full disks, odd names, inspect of any file.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <nlohmann/json.hpp>

#include "base/file.h"
#include "base/testing/project_folder.h"
#include "base/testing/run_program.h"
#include "base/testing/temporary_folder.h"

namespace posefix {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using ::testing::AllOf;
using ::testing::HasSubstr;

const fs::path kExamples = project_folder() / "examples/coco-mini";
const std::string kPictures = kExamples / "images/val2017";
const std::string kPoses = kExamples / "input_pose/mediapipe_full_val2017_results.json";
const std::string kAnnotations = kExamples / "annotations/person_keypoints_val2017.json";

class CommandLine : public ::testing::Test {
 protected:
  static ProgramResult posefix(const std::vector<std::string>& arguments) {
    return run_program(POSEFIX_PROGRAM, arguments);
  }
  // `command` begins behind the program's name and may be a pipeline.
  static ProgramResult shell(const std::string& command) {
    return run_program("/bin/bash", {"-c", fmt::format("set -o pipefail; {}", command)});
  }
  static std::string program() { return POSEFIX_PROGRAM; }

  std::string tiny_model() {
    const fs::path config = folder_.write("model.yaml", "model: {width: 1/16, input_size: [64, 64]}\n");
    const fs::path model = folder_ / "model.safetensors";
    EXPECT_EQ(posefix({"init", "--config", config, "--out", model}).code, 0);
    return model;
  }
  static void expect_refusal(const ProgramResult& result, const std::vector<std::string>& parts) {
    EXPECT_EQ(result.code, 2) << result.output;
    for (const std::string& part : parts) EXPECT_THAT(result.output, HasSubstr(part));
  }

  TemporaryFolder folder_;
};

TEST_F(CommandLine, SaysWhatWasMeant) {
  expect_refusal(posefix({}), {"a verb is missing", "posefix --help"});
  expect_refusal(posefix({"dataset"}), {"a verb is missing", "posefix dataset --help"});
  expect_refusal(posefix({"refin", "x"}), {"unknown verb 'refin'", "'refine'"});
  expect_refusal(posefix({"evaluate", "--anotations", "a.json"}),
                 {"unknown option --anotations", "--annotations", "posefix evaluate --help"});
  expect_refusal(posefix({"dataset", "check", "--anotations=a.json"}),
                 {"--annotations", "posefix dataset check --help"});
  expect_refusal(posefix({"doctor", "a.json"}), {"unexpected 'a.json'"});
  expect_refusal(posefix({"evaluate", "--results", kPoses}), {"--annotations is required", "posefix evaluate --help"});
  expect_refusal(posefix({"bench", "m.plan", "--batch", "two"}), {"--batch = two", "expected a whole number"});
  expect_refusal(posefix({"bench", "m.plan", "--rounds", "-2"}), {"--rounds"});
  expect_refusal(posefix({"errors", "sample", "--annotations", kAnnotations, "--seed", "-1", "--out", folder_ / "x"}),
                 {"--seed"});
}

TEST_F(CommandLine, EveryVerbHasHelp) {
  const std::string verbs = posefix({"--help"}).output;
  for (const char* verb : {"bench", "calibrate", "compile", "completion", "dataset", "doctor", "errors", "evaluate",
                           "export", "init", "inspect", "poses", "refine", "report", "train"}) {
    EXPECT_THAT(verbs, HasSubstr(fmt::format("\n  {} ", verb)));
    const ProgramResult help = posefix({verb, "--help"});
    EXPECT_EQ(help.code, 0);
    EXPECT_THAT(help.output, HasSubstr(fmt::format("Usage: posefix {}", verb)));
  }
}

TEST_F(CommandLine, ReadsAndWritesThroughPipes) {
  const std::string model = tiny_model();
  const std::string command = fmt::format("{} refine {} --images {} --poses", program(), model, kPictures);
  const fs::path direct = folder_ / "direct.json";
  ASSERT_EQ(shell(fmt::format("{} {} --out {}", command, kPoses, direct.string())).code, 0);
  const std::string expected = read_file(direct);
  for (const char* pipeline :
       {"cat {1} | {0} - --out - 2>/dev/null", "{0} <(cat {1}) --out /dev/stdout 2>/dev/null | cat",
        "( {0} /dev/stdin --out >(cat >&3) 2>/dev/null <{1} ) 3>&1 | cat"}) {
    const ProgramResult result = shell(fmt::format(fmt::runtime(pipeline), command, kPoses));
    EXPECT_EQ(result.code, 0) << pipeline;
    EXPECT_TRUE(result.output == expected) << pipeline << "\n" << result.output.substr(0, 200);
  }
}

TEST_F(CommandLine, AFullDiskIsNoSuccess) {
  for (const std::string& command :
       {fmt::format("evaluate --annotations {} --results {}", kAnnotations, kPoses), std::string("--help"),
        std::string("completion bash"), fmt::format("inspect {}", kPoses)}) {
    const ProgramResult result = shell(fmt::format("{} {} >/dev/full", program(), command));
    EXPECT_EQ(result.code, 1) << command;
    EXPECT_THAT(result.output, HasSubstr("cannot write to standard output")) << command;
  }
}

// A device is written to; a file's name in its place would be lost for everybody.
TEST_F(CommandLine, ADeviceIsNotReplaced) {
  const fs::path fifo = folder_ / "fifo";
  ASSERT_EQ(::mkfifo(fifo.c_str(), 0600), 0);
  const ProgramResult result =
      shell(fmt::format("cat {1} & {0} errors sample --annotations {2} --out {1} 2>/dev/null; wait", program(),
                        fifo.string(), kAnnotations));
  EXPECT_EQ(result.code, 0);
  EXPECT_TRUE(json::parse(result.output).is_array()) << result.output;
  EXPECT_TRUE(fs::is_fifo(fifo));
}

TEST_F(CommandLine, OutputsAreCheckedBeforeTheWork) {
  const std::string model = tiny_model();
  const std::vector<std::string> refine{"refine", model, "--images", kPictures, "--poses", kPoses};
  const auto with = [&](std::vector<std::string> more) {
    more.insert(more.begin(), refine.begin(), refine.end());
    return posefix(more);
  };
  const auto refused = [&](const std::vector<std::string>& more, const std::vector<std::string>& parts) {
    const ProgramResult result = with(more);
    expect_refusal(result, parts);
    EXPECT_THAT(result.output, Not(HasSubstr("people/s"))) << "found only after the work";
  };
  refused({"--out", folder_.path()}, {folder_.path(), "is a folder"});
  refused({"--out", folder_ / "no/o.json"}, {"o.json", "does not exist"});
  refused({"--draw", kPoses}, {"--draw", "is not a folder"});
  refused({"--out", folder_ / "o.json", "--device", "cuda"}, {"--device cuda", "--backend torch"});
  expect_refusal(posefix({"refine", model, "--image", kPictures + "/000000397133.jpg", "--poses", kPoses, "--draw",
                          folder_ / "x.gif"}),
                 {"x.gif", ".png"});
  expect_refusal(posefix({"refine", model, "--image", "no.jpg", "--poses", kPoses, "--draw", folder_ / "x.png"}),
                 {"no.jpg", "cannot open"});
  expect_refusal(posefix({"refine", model, "--images", kPoses, "--poses", kPoses, "--out", folder_ / "o.json"}),
                 {"--images", "is not a folder"});
  expect_refusal(
      posefix({"report", "--images", kPictures, "--poses", kPoses, "--results", kPoses, "--out", folder_.path()}),
      {"is a folder"});
}

// What belongs to another target or device is said, not ignored.
TEST_F(CommandLine, AscendOptionsAndFilesInTheWrongPlace) {
  const std::string model = tiny_model();
  const std::string om = folder_.write("m.om", "compiled");
  const std::string sidecar = folder_.write("m.om.json", "{}");
  const auto compile = [&](const std::string& file, std::vector<std::string> more) {
    more.insert(more.begin(), {"compile", file, "--out", folder_ / "out.plan"});
    return posefix(more);
  };
  expect_refusal(compile(model, {"--aipp"}), {"--aipp goes with --target ascend:SOC, not with cpu"});
  expect_refusal(compile(model, {"--batch", "4"}), {"--batch goes with --target ascend:SOC"});
  // Their defaults too: what was typed counts.
  expect_refusal(compile(model, {"--batch", "16"}), {"--batch goes with --target ascend:SOC"});
  expect_refusal(compile(model, {"--via", "pb"}), {"--via goes with --target ascend:SOC"});
  expect_refusal(compile(model, {"--atc-timeout", "3600"}), {"--atc-timeout goes with --target ascend:SOC"});
  expect_refusal(compile(model, {"--atc-timeout", "0"}), {"--atc-timeout 0: expected more than 0 seconds"});
  expect_refusal(compile(om, {"--target", "ascend:310P3"}), {"m.om", "compiled for an Ascend device already"});
  const auto refine = [&](const std::string& file, const std::string& backend) {
    std::vector<std::string> arguments{"refine",  file,   "--images", kPictures,
                                       "--poses", kPoses, "--out",    folder_ / "o.json"};
    if (!backend.empty()) arguments.insert(arguments.end(), {"--backend", backend});
    return posefix(arguments);
  };
  expect_refusal(refine(om, "cpu"), {"--backend cpu", "m.om is compiled for an Ascend device"});
  expect_refusal(refine(model, "ascend"), {"--backend ascend", "posefix compile"});
  expect_refusal(refine(sidecar, ""), {"m.om.json: is the sidecar", "give the model itself"});
}

TEST_F(CommandLine, NamesOutsideOfUtf8) {
  const fs::path folder = folder_ / "n\xFF \xC3\xA4";
  fs::create_directories(folder);
  fs::copy(kPoses, folder / "p.json");
  const ProgramResult result = shell(fmt::format("{} dataset check --annotations {} --poses '{}' --json", program(),
                                                 kAnnotations, (folder / "p.json").string()));
  EXPECT_EQ(result.code, 0) << result.output;
  EXPECT_EQ(json::parse(result.output).at("errors"), 0);
}

TEST_F(CommandLine, InspectsAnyFile) {
  const auto inspected = [](const std::string& file) {
    const ProgramResult result = run_program(POSEFIX_PROGRAM, {"inspect", file, "--json"});
    EXPECT_EQ(result.code, 0) << result.output;
    return json::parse(result.output, nullptr, false);
  };
  const json poses = inspected(kPoses);
  EXPECT_EQ(poses["poses"], 14);
  EXPECT_EQ(poses["pictures"], 8);
  EXPECT_EQ(poses["joints"], 17);
  const json annotations = inspected(kAnnotations);
  EXPECT_EQ(annotations["pictures"], 25);
  EXPECT_EQ(annotations["people"], 44);
  EXPECT_EQ(annotations["categories"], json::array({"person"}));
  EXPECT_EQ(inspected(project_folder() / "models/posefix-s.errors.json")["joints"], 17);
  EXPECT_EQ(inspected(project_folder() / "skeletons/mpii16.yaml")["joints"].size(), 16U);
  EXPECT_EQ(inspected(project_folder() / "configs/demo.yaml")["width"], "1/8");
  EXPECT_EQ(inspected(kPictures + "/000000397133.jpg")["width_px"], 640);
  EXPECT_EQ(inspected(project_folder() / "models/posefix-s.plan")["format"], "posefix offline model");
  expect_refusal(posefix({"inspect", folder_.write("x.json", "{}")}), {"x.json", "'images' is missing"});
}

TEST_F(CommandLine, InitPrintsJsonForFreshWeightsToo) {
  const fs::path config = folder_.write("model.yaml", "model: {width: 1/16, input_size: [64, 64]}\n");
  const ProgramResult result = shell(fmt::format("{} init --config {} --out {} --json 2>/dev/null", program(),
                                                 config.string(), (folder_ / "s.safetensors").string()));
  EXPECT_EQ(json::parse(result.output)["rows"], json::array());
}

}  // namespace
}  // namespace posefix
