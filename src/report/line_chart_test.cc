#include "report/line_chart.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

namespace posefix::report {
namespace {

using testing::HasSubstr;
using testing::Not;

TEST(LineChart, DrawsPointsWhereTheyBelong) {
  const std::string html = line_chart_html({"Loss", "epochs", {{"training", {{0, 0}, {1, 5}, {2, 10}}}}, false});
  // The lowest point lies on the left edge at the bottom, the highest on the right at the top, the middle between.
  EXPECT_THAT(html, HasSubstr("points=\"62.0,186.0 345.0,98.0 628.0,10.0 \""));
  EXPECT_THAT(html, HasSubstr("training"));
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
