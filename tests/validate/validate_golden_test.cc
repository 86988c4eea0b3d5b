// `posefix dataset check` on every damaged data tree of validate/: exit code, file and place named.
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <array>
#include <cstdio>

#include "base/testing/temporary_folder.h"
#include "pose/golden_test_files.h"

namespace posefix {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

class ValidateGolden : public testing::Test {
 protected:
  // good/ without `remove`, with the files of bad/NAME over it.
  fs::path tree(const json& golden) {
    const fs::path root = folder_ / golden.value("case", "");
    copy_writable(pose::goldens() / "validate" / "good", root / "COCO");
    for (const json& removed : golden.value("remove", json::array())) fs::remove_all(root / "COCO" / removed);
    const fs::path overlay = pose::goldens() / "validate" / "bad" / golden.value("case", "");
    if (fs::exists(overlay)) copy_writable(overlay, root / "COCO");
    return root;
  }

  static void copy_writable(const fs::path& from, const fs::path& to) {
    for (const auto& entry : fs::recursive_directory_iterator(from)) {
      const fs::path target = to / fs::relative(entry.path(), from);
      if (entry.is_directory()) {
        fs::create_directories(target);
        continue;
      }
      fs::create_directories(target.parent_path());
      fs::copy_file(entry.path(), target, fs::copy_options::overwrite_existing);
      fs::permissions(target, fs::perms::owner_write, fs::perm_options::add);
    }
  }

  static int run(const fs::path& root, std::string* output) {
    const std::string command = std::string(POSEFIX_PROGRAM) + " dataset check --root '" + root.string() +
                                "' --dataset coco --input-pose results.json --deep --threads 1 2>&1";
    FILE* pipe = ::popen(command.c_str(), "r");
    if (pipe == nullptr) return -1;
    std::array<char, 4096> buffer{};
    for (size_t n = 0; (n = std::fread(buffer.data(), 1, buffer.size(), pipe)) > 0;) output->append(buffer.data(), n);
    const int status = ::pclose(pipe);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  }

  // "FILE POINTER, POINTER": the file must be named, and every pointer ("*": the first entry or all of them).
  static void expect_place(const std::string& where, const std::string& output) {
    const size_t space = where.find(' ');
    EXPECT_NE(output.find(where.substr(0, space)), std::string::npos) << where;
    if (space == std::string::npos) return;
    std::stringstream pointers(where.substr(space + 1));
    for (std::string pointer; std::getline(pointers, pointer, ',');) {
      pointer.erase(0, pointer.find_first_not_of(' '));
      pointer = pointer.substr(0, pointer.find(' '));
      std::string first = pointer;
      if (const size_t star = first.find('*'); star != std::string::npos) first[star] = '0';
      EXPECT_TRUE(output.find(pointer) != std::string::npos || output.find(first) != std::string::npos) << pointer;
    }
  }

  void check_case(const json& golden) {
    const std::string severity = golden.value("severity", "");
    std::string output;
    const int code = run(tree(golden), &output);
    EXPECT_EQ(code, severity == "error" ? 2 : 0);
    if (severity == "ok") {
      EXPECT_EQ(output.find("warning:"), std::string::npos);
    } else {
      EXPECT_NE(output.find(severity + ":"), std::string::npos);
      expect_place(golden.value("where", ""), output);
    }
    if (HasFailure()) ADD_FAILURE() << output;
  }

  TemporaryFolder folder_;
};

TEST_F(ValidateGolden, GoodTreeIsAccepted) { check_case({{"case", "good"}, {"severity", "ok"}}); }

TEST_F(ValidateGolden, EveryDamageIsReported) {
  const json manifest = pose::read_golden(pose::goldens() / "validate" / "manifest.json");
  const json cases = manifest.value("cases", json::array());
  ASSERT_FALSE(cases.empty());
  for (const json& golden : cases) {
    SCOPED_TRACE(golden.value("case", ""));
    check_case(golden);
  }
}

}  // namespace
}  // namespace posefix
