// Model files as a user passes them from verb to verb.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "base/file.h"
#include "base/testing/run_program.h"

namespace posefix {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using ::testing::AllOf;
using ::testing::HasSubstr;

class FormatsCommand : public ::testing::Test {
 protected:
  void SetUp() override {
    fs::create_directories(folder_);
    write_file_atomically(folder_ / "model.yaml", "model: {width: 1/16, input_size: [64, 64]}\n");
    ASSERT_EQ(run({"init", "--config", file("model.yaml"), "--out", file("model.safetensors")}), 0) << log_;
  }
  void TearDown() override { fs::remove_all(folder_); }

  std::string file(const std::string& name) const { return (folder_ / name).string(); }
  int run(const std::vector<std::string>& arguments) {
    ProgramResult result = run_program(POSEFIX_PROGRAM, arguments);
    log_ = std::move(result.output);
    return result.code;
  }
  int init_from(const std::string& name) {
    return run({"init", "--config", file("model.yaml"), "--from", file(name), "--out", file("fresh.safetensors")});
  }
  // The element types of a snapshot's tensors, by name.
  std::map<std::string, std::string> types(const std::string& name) {
    EXPECT_EQ(run({"inspect", file(name), "--tensors", "--json"}), 0) << log_;
    std::map<std::string, std::string> types;
    const json inspected = json::parse(log_);
    for (const json& tensor : inspected.at("tensors")) types[tensor.at("name")] = tensor.at("dtype");
    return types;
  }

  fs::path folder_ = fs::temp_directory_path() / ("formats_cli_" + std::to_string(::getpid()) + "_" +
                                                  ::testing::UnitTest::GetInstance()->current_test_info()->name());
  std::string log_;
};

TEST_F(FormatsCommand, AFileOfAnotherKindIsCalledWhatItIs) {
  const std::string jpeg = std::string("\xFF\xD8\xFF\xE0", 4) + std::string(100, 'x');
  ASSERT_EQ(run({"export", file("model.safetensors"), "--format", "tf-v1", "--out", file("model.ckpt")}), 0) << log_;
  const std::string checkpoint = read_file(file("model.ckpt"));
  struct Wrong {
    std::string name, bytes, kind;
  };
  for (const auto& [name, bytes, kind] :
       {Wrong{"a.jpg", jpeg, "a JPEG picture"}, Wrong{"a.safetensors", jpeg, "a JPEG picture"},
        Wrong{"a.onnx", jpeg, "a JPEG picture"}, Wrong{"a.pb", jpeg, "a JPEG picture"},
        Wrong{"empty.onnx", "", "an empty file"}, Wrong{"empty.safetensors", "", "an empty file"},
        Wrong{"net.pth", "PK\x03\x04" + std::string(200, '\1'), "a ZIP archive"},
        Wrong{"model.yml", "model: {width: 1/16}\n", "a text"},
        Wrong{"wrong.onnx", checkpoint, "a TensorFlow checkpoint"},
        Wrong{"model.ckpt", checkpoint, "a TensorFlow checkpoint"}}) {
    SCOPED_TRACE(name);
    write_file_atomically(folder_ / name, bytes);
    EXPECT_EQ(run({"compile", file(name), "--out", file("out.plan")}), 2);
    EXPECT_THAT(log_, AllOf(HasSubstr(file(name) + ": is " + kind), HasSubstr(", expected ")));
    EXPECT_FALSE(fs::exists(file("out.plan")));
  }
  // What is looked for here is a checkpoint first of all.
  write_file_atomically(folder_ / "net.pth", "PK\x03\x04" + std::string(200, '\1'));
  EXPECT_EQ(init_from("net.pth"), 2);
  EXPECT_THAT(log_, HasSubstr("net.pth: is a ZIP archive"));
  EXPECT_FALSE(fs::exists(file("fresh.safetensors")));
}

TEST_F(FormatsCommand, AHalfPrecisionSnapshotIsUsedLikeAnyOther) {
  for (const std::string precision : {"bf16", "f16"}) {
    SCOPED_TRACE(precision);
    const std::string half = precision + ".safetensors";
    ASSERT_EQ(run({"export", file("model.safetensors"), "--format", "safetensors", "--precision", precision, "--out",
                   file(half)}),
              0)
        << log_;
    EXPECT_LT(fs::file_size(file(half)), fs::file_size(file("model.safetensors")) * 2 / 3) << "headers stay";
    for (const auto& [name, type] : types(half)) {
      EXPECT_EQ(type, name.ends_with("/weights") ? precision : "f32") << name;
    }
    EXPECT_EQ(run({"compile", file(half), "--target", "cpu", "--precision", "f32", "--out", file("half.plan")}), 0)
        << log_;
    ASSERT_EQ(init_from(half), 0) << log_;
    for (const auto& [name, type] : types("fresh.safetensors")) EXPECT_EQ(type, "f32") << name;
    // Rounding twice is rounding once: the values that were left come back.
    ASSERT_EQ(run({"export", file("fresh.safetensors"), "--format", "safetensors", "--precision", precision, "--out",
                   file("again.safetensors")}),
              0)
        << log_;
    EXPECT_EQ(read_file(file("again.safetensors")), read_file(file(half)));
  }
}

TEST_F(FormatsCommand, AnExportedSnapshotHoldsWhatTheModelNeeds) {
  ASSERT_EQ(run({"export", file("model.safetensors"), "--format", "safetensors", "--out", file("out.safetensors")}), 0)
      << log_;
  EXPECT_EQ(read_file(file("out.safetensors")), read_file(file("model.safetensors")));
}

TEST_F(FormatsCommand, OnlySnapshotsAreExportedInHalfPrecision) {
  EXPECT_EQ(
      run({"export", file("model.safetensors"), "--format", "onnx", "--precision", "f16", "--out", file("m.onnx")}), 2);
  EXPECT_THAT(log_, HasSubstr("--format safetensors"));
  EXPECT_FALSE(fs::exists(file("m.onnx")));
}

TEST_F(FormatsCommand, ATensorFlowCheckpointIsFoundByFolderPrefixAndAnyOfItsFiles) {
  fs::create_directories(folder_ / "run");
  ASSERT_EQ(run({"export", file("model.safetensors"), "--format", "tf-v2", "--out", file("run/snapshot_3.ckpt")}), 0);
  EXPECT_EQ(init_from("run"), 2);
  EXPECT_THAT(log_, AllOf(HasSubstr("without TensorFlow's file 'checkpoint'"), HasSubstr("snapshot_3.ckpt.index")));
  write_file_atomically(folder_ / "run/checkpoint",
                        "model_checkpoint_path: \"/elsewhere/snapshot_3.ckpt\"\n"
                        "all_model_checkpoint_paths: \"/elsewhere/snapshot_3.ckpt\"\n");
  for (const char* name : {"run", "run/checkpoint", "run/snapshot_3.ckpt", "run/snapshot_3.ckpt.index",
                           "run/snapshot_3.ckpt.data-00000-of-00001"}) {
    EXPECT_EQ(init_from(name), 0) << name << ": " << log_;
    EXPECT_EQ(read_file(file("fresh.safetensors")), read_file(file("model.safetensors"))) << name;
  }
}

// It does not say what network it is of, so no verb can run it as it is.
TEST_F(FormatsCommand, ACheckpointGivenAsAModelIsAnsweredWithHowToMakeASnapshot) {
  fs::create_directories(folder_ / "tf");
  ASSERT_EQ(run({"export", file("model.safetensors"), "--format", "tf-v2", "--out", file("tf/snap")}), 0) << log_;
  write_file_atomically(folder_ / "poses.json", "[]");
  for (const std::string name : {"tf/snap", "tf/snap.index", "tf/snap.data-00000-of-00001", "tf"}) {
    const std::string model = file(name);
    const std::string out = file("out");
    for (const std::vector<std::string>& command :
         {std::vector<std::string>{"compile", model, "--out", out},
          std::vector<std::string>{"export", model, "--format", "onnx", "--out", out},
          std::vector<std::string>{"refine", model, "--images", file(""), "--poses", file("poses.json"), "--out", out},
          std::vector<std::string>{"bench", model, "--rounds", "1"}}) {
      SCOPED_TRACE(command[0] + " " + name);
      EXPECT_EQ(run(command), 2);
      EXPECT_THAT(log_, AllOf(HasSubstr(model + ": is a TensorFlow checkpoint"),
                              HasSubstr("'posefix init --config C.yaml --from " + model)));
      EXPECT_FALSE(fs::exists(out));
    }
  }
  EXPECT_EQ(run({"compile", file(""), "--out", file("out")}), 2);
  EXPECT_THAT(log_, AllOf(HasSubstr("is a folder, expected a file; it holds: "), HasSubstr("model.safetensors")));
}

TEST_F(FormatsCommand, AStateFileThatNamesAFolderIsRefused) {
  fs::create_directories(folder_ / "run");
  for (const char* named : {"", ".", "/"}) {
    write_file_atomically(folder_ / "run/checkpoint", "model_checkpoint_path: \"" + std::string(named) + "\"\n");
    EXPECT_EQ(init_from("run"), 2) << named;
    EXPECT_THAT(log_, HasSubstr("a folder; name the checkpoint itself"));
  }
}

TEST_F(FormatsCommand, AMissingOrEmptyShardIsNamed) {
  ASSERT_EQ(run({"export", file("model.safetensors"), "--format", "tf-v2", "--out", file("c")}), 0);
  fs::remove(file("c.data-00000-of-00001"));
  EXPECT_EQ(init_from("c"), 2);
  EXPECT_THAT(log_, AllOf(HasSubstr("tensor 'out/biases'"), HasSubstr("c.data-00000-of-00001: cannot open")));
  write_file_atomically(file("c.data-00000-of-00001"), "");
  EXPECT_EQ(init_from("c"), 2);
  EXPECT_THAT(log_, AllOf(HasSubstr("tensor 'out/biases'"), HasSubstr("truncated")));
  EXPECT_FALSE(fs::exists(file("fresh.safetensors")));
}

}  // namespace
}  // namespace posefix
