#include "report/line_chart.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <regex>
#include <string>
#include <vector>

namespace posefix::report {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

TEST(LineChart, DrawsPointsWhereTheyBelong) {
  const std::string html = line_chart_html({"Loss", "epochs", {{"training", {{0, 0}, {1, 5}, {2, 10}}}}, false});
  // The lowest point lies on the left edge at the bottom, the highest on the right at the top, the middle between.
  EXPECT_THAT(html, HasSubstr("points=\"62.0,186.0 345.0,98.0 628.0,10.0 \""));
  EXPECT_THAT(html, HasSubstr("training"));
}

// What stands at the grid lines, from the bottom to the top.
std::vector<std::string> y_labels(double low, double high, bool logarithmic) {
  const std::string html = line_chart_html({"Loss", "epochs", {{"a", {{0, low}, {1, high}}}}, logarithmic});
  const std::regex label("text-anchor=\"end\">([^<]*)</text>");
  std::vector<std::string> labels;
  for (std::sregex_iterator it(html.begin(), html.end(), label); it != std::sregex_iterator(); ++it) {
    labels.push_back((*it)[1]);
  }
  labels.pop_back();  // the name of the x axis
  return labels;
}

TEST(LineChart, LabelsAreRoundOnBothKindsOfAxes) {
  EXPECT_THAT(y_labels(0.3, 2.1, false), ElementsAre("0.5", "1", "1.5", "2"));
  EXPECT_THAT(y_labels(1.3, 14, true), ElementsAre("2", "5", "10"));
  EXPECT_THAT(y_labels(0.013, 0.9, true), ElementsAre("0.02", "0.05", "0.1", "0.2", "0.5"));
  EXPECT_THAT(y_labels(7.1, 9.3, true), ElementsAre("7.5", "8", "8.5", "9"));
  EXPECT_THAT(y_labels(1e-6, 3, true), ElementsAre("1e-06", "0.0001", "0.01", "1"));
}

TEST(LineChart, LeavesOutWhatCannotBeDrawn) {
  EXPECT_EQ(line_chart_html({"Loss", "epochs", {{"a", {{0, std::nan("")}}}, {"b", {}}}, false}), "");
  EXPECT_EQ(line_chart_html({"Loss", "epochs", {{"a", {{0, 0}, {1, -1}}}}, true}), "");
  const std::string html = line_chart_html({"<Loss>", "epochs", {{"drawn", {{1, 2}}}, {"absent", {}}}, true});
  EXPECT_THAT(html, HasSubstr("&lt;Loss&gt;"));
  EXPECT_THAT(html, HasSubstr("drawn"));
  EXPECT_THAT(html, Not(HasSubstr("absent")));
  EXPECT_THAT(html, Not(HasSubstr("nan")));
}

TEST(LineChart, ALongCurveIsThinnedToWhatCanBeSeen) {
  Curve curve{"long", {}};
  for (int i = 0; i < 100000; ++i) curve.points.emplace_back(i, std::sin(i));
  EXPECT_LT(line_chart_html({"Loss", "steps", {curve}, false}).size(), 30000U);
}

}  // namespace
}  // namespace posefix::report
