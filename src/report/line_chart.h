// Curves over a common axis as inline SVG: no scripts, readable in light and dark, told apart by dashes as well as by
// colour.
#pragma once

#include <string>
#include <utility>
#include <vector>

namespace posefix::report {

struct Curve {
  std::string name;
  std::vector<std::pair<double, double>> points;  // x, y; x ascending; those that are not finite are left out
};

struct LineChart {
  std::string title;
  std::string x_name;
  std::vector<Curve> curves;
  bool logarithmic = false;  // y; points at or below 0 are left out
};

// A <figure> element; empty when there is no point to draw.
std::string line_chart_html(const LineChart& chart);

}  // namespace posefix::report
