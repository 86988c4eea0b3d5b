#include "report/training_page.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>

#include "base/error.h"
#include "base/file.h"

namespace posefix::report {
namespace {

using testing::HasSubstr;
using testing::Not;

class TrainingPageTest : public testing::Test {
 protected:
  void SetUp() override {
    run_ = std::filesystem::path(testing::TempDir()) / ("training_page_test_" + std::to_string(::getpid()));
    std::filesystem::remove_all(run_);
    std::filesystem::create_directories(run_);
  }
  void TearDown() override { std::filesystem::remove_all(run_); }

  std::filesystem::path run_;
};

TEST_F(TrainingPageTest, HoldsFiguresCurvesMachineAndConfiguration) {
  std::ofstream(run_ / "metrics.jsonl")
      << R"({"step":0,"start":{"machine":"some processor","device":"cpu"}})" << '\n'
      << R"({"step":10,"epoch":0.5,"loss":4,"loss_heatmap":3,"loss_coord":1,"seconds":30,"waiting_share":0.1})" << '\n'
      << R"({"step":20,"epoch":1,"loss":2,"loss_heatmap":1.5,"loss_coord":0.5,"seconds":45,"waiting_share":0})" << '\n'
      << R"({"step":20,"epoch":1,"validation":{"score":0.7,"ap_before":0.6,"ap_after":0.7,"error_before_px":9,)"
      << R"("error_after_px":4}})" << '\n'
      << R"({"step":30,"los)";
  std::ofstream(run_ / "config.yaml") << "train.seed: 1 # <seed>\n";
  write_training_page(run_, run_ / "report.html");
  const std::string page = read_file(run_ / "report.html");
  EXPECT_THAT(page, HasSubstr("<td>Machine</td><td>some processor</td>"));
  EXPECT_THAT(page, HasSubstr("20 (1.00 epochs)"));
  EXPECT_THAT(page, HasSubstr("AP 60.00 before, 70.00 after"));
  EXPECT_THAT(page, HasSubstr("0 h 01 min 15 s"));
  EXPECT_THAT(page, HasSubstr("# &lt;seed&gt;"));
  EXPECT_THAT(page, HasSubstr("<polyline"));
  EXPECT_THAT(page, Not(HasSubstr("http")));
  EXPECT_THAT(page, Not(HasSubstr("<script")));
  EXPECT_THAT(page, Not(HasSubstr("nan")));
}

TEST_F(TrainingPageTest, ARunThatHasNotLoggedYetHasAPageWithoutCurves) {
  std::ofstream(run_ / "metrics.jsonl") << R"({"step":0,"start":{"device":"cpu"}})" << '\n';
  write_training_page(run_, run_ / "report.html");
  EXPECT_THAT(read_file(run_ / "report.html"), Not(HasSubstr("<figure")));
}

TEST_F(TrainingPageTest, RefusesAFolderThatIsNoRun) {
  EXPECT_THROW(write_training_page(run_, run_ / "report.html"), Error);
}

}  // namespace
}  // namespace posefix::report
