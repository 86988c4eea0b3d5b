#include "report/line_chart.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "report/html_page.h"

namespace posefix::report {
namespace {

constexpr double kWidth = 640;  // of the drawing, in SVG's units
constexpr double kHeight = 220;
constexpr double kLeft = 62;  // margins
constexpr double kRight = 12;
constexpr double kTop = 10;
constexpr double kBottom = 34;
constexpr size_t kMostPoints = 1200;  // of a curve; more than that many pixels cannot be told apart
constexpr std::array<const char*, 4> kColours = {"#2f7fd0", "#d0672f", "#3a9a5b", "#9457c2"};
constexpr std::array<const char*, 4> kDashes = {"none", "6 3", "2 3", "9 3 2 3"};

struct Range {
  double low = std::numeric_limits<double>::infinity();
  double high = -std::numeric_limits<double>::infinity();

  void include(double value) {
    low = std::min(low, value);
    high = std::max(high, value);
  }
  bool empty() const { return low > high; }
  void widen() {
    if (high - low > 0) return;
    const double margin = low == 0 ? 1 : std::abs(low) / 10;
    low -= margin;
    high += margin;
  }
};

// Values at round distances inside the range, about `wanted` of them.
std::vector<double> ticks(const Range& range, int wanted) {
  const double rough = (range.high - range.low) / wanted;
  const double power = std::pow(10, std::floor(std::log10(rough)));
  const double step = power * (rough / power > 5 ? 10 : rough / power > 2 ? 5 : rough / power > 1 ? 2 : 1);
  std::vector<double> values;
  for (double i = std::ceil(range.low / step - 1e-9); i * step <= range.high + 1e-9 * step; ++i) {
    values.push_back(i * step + 0.0);  // not -0
  }
  return values;
}

// Round values for a logarithmic axis whose range holds their logarithms: 1, 2 and 5 of every decade; of many decades
// only powers of ten; in a part of a decade, values at equal distances.
std::vector<double> logarithmic_ticks(const Range& logarithms, int wanted) {
  const Range range{std::pow(10, logarithms.low), std::pow(10, logarithms.high)};
  std::vector<double> values;
  for (double power = std::floor(logarithms.low); power <= logarithms.high; ++power) {
    for (const double digit : {1, 2, 5}) {
      const double value = digit * std::pow(10, power);
      if (value >= range.low * (1 - 1e-9) && value <= range.high * (1 + 1e-9)) values.push_back(value);
    }
  }
  if (values.size() < 3) return ticks(range, wanted);
  if (static_cast<int>(values.size()) <= 2 * wanted) return values;
  values = ticks(logarithms, wanted);
  std::erase_if(values, [](double power) { return std::abs(power - std::round(power)) > 1e-9; });
  for (double& value : values) value = std::pow(10, value);
  return values;
}

class Drawing {
 public:
  explicit Drawing(const LineChart& chart) : chart_(chart) {
    for (const Curve& curve : chart.curves) kept_.push_back(drawable(curve));
    for (const auto& points : kept_) {
      for (const auto& [x, y] : points) {
        x_.include(x);
        y_.include(y);
      }
    }
    if (empty()) return;
    x_.widen();
    y_.widen();
  }

  bool empty() const { return x_.empty(); }
  bool draws(size_t curve) const { return !kept_[curve].empty(); }

  std::string svg() const {
    std::string text = fmt::format("<svg viewBox=\"0 0 {} {}\" role=\"img\" aria-label=\"{}\">\n", kWidth, kHeight,
                                   html_text(chart_.title));
    for (const double tick : chart_.logarithmic ? logarithmic_ticks(y_, 5) : ticks(y_, 5)) {
      const double y = y_px(chart_.logarithmic ? std::log10(tick) : tick);
      text += fmt::format(
          "<line class=\"grid\" x1=\"{0}\" x2=\"{1}\" y1=\"{2:.1f}\" y2=\"{2:.1f}\"/>"
          "<text x=\"{3}\" y=\"{4:.1f}\" text-anchor=\"end\">{5:.4g}</text>\n",
          kLeft, kWidth - kRight, y, kLeft - 6, y + 4, tick);
    }
    for (const double tick : ticks(x_, 6)) {
      text += fmt::format("<text x=\"{:.1f}\" y=\"{}\" text-anchor=\"middle\">{:.6g}</text>\n", x_px(tick),
                          kHeight - kBottom + 16, tick);
    }
    text += fmt::format("<text x=\"{}\" y=\"{}\" text-anchor=\"end\">{}</text>\n", kWidth - kRight, kHeight - 3,
                        html_text(chart_.x_name));
    for (size_t i = 0; i < kept_.size(); ++i) text += curve(i);
    return text + "</svg>\n";
  }

 private:
  using Points = std::vector<std::pair<double, double>>;

  // At most kMostPoints of them, each the mean of its neighbours; y as it is drawn.
  Points drawable(const Curve& curve) const {
    Points points;
    for (const auto& [x, y] : curve.points) {
      const double drawn = chart_.logarithmic ? std::log10(y) : y;
      if (std::isfinite(x) && std::isfinite(drawn)) points.emplace_back(x, drawn);
    }
    const size_t group = (points.size() + kMostPoints - 1) / kMostPoints;
    if (group <= 1) return points;
    Points means;
    for (size_t i = 0; i < points.size(); i += group) {
      const size_t count = std::min(group, points.size() - i);
      double x = 0;
      double y = 0;
      for (size_t j = i; j < i + count; ++j) {
        x += points[j].first;
        y += points[j].second;
      }
      means.emplace_back(x / static_cast<double>(count), y / static_cast<double>(count));
    }
    return means;
  }

  std::string curve(size_t i) const {
    const char* colour = kColours[i % kColours.size()];
    std::string text;
    if (kept_[i].size() > 1) {
      text = fmt::format("<polyline fill=\"none\" stroke=\"{}\" stroke-width=\"1.6\" stroke-dasharray=\"{}\" points=\"",
                         colour, kDashes[i % kDashes.size()]);
      for (const auto& [x, y] : kept_[i]) text += fmt::format("{:.1f},{:.1f} ", x_px(x), y_px(y));
      text += "\"/>\n";
    }
    constexpr size_t kFew = 40;  // points that are marked one by one
    for (size_t k = 0; kept_[i].size() <= kFew && k < kept_[i].size(); ++k) {
      text += fmt::format("<circle fill=\"{}\" r=\"2.4\" cx=\"{:.1f}\" cy=\"{:.1f}\"/>\n", colour,
                          x_px(kept_[i][k].first), y_px(kept_[i][k].second));
    }
    return text;
  }

  double x_px(double x) const { return kLeft + (x - x_.low) / (x_.high - x_.low) * (kWidth - kLeft - kRight); }
  double y_px(double y) const {
    return kHeight - kBottom - (y - y_.low) / (y_.high - y_.low) * (kHeight - kTop - kBottom);
  }

  const LineChart& chart_;
  std::vector<Points> kept_;  // by curve
  Range x_;
  Range y_;
};

}  // namespace

std::string line_chart_html(const LineChart& chart) {
  const Drawing drawing(chart);
  if (drawing.empty()) return "";
  std::string text = fmt::format("<figure>\n<h2>{}</h2>\n{}<figcaption>", html_text(chart.title), drawing.svg());
  for (size_t i = 0; i < chart.curves.size(); ++i) {
    if (!drawing.draws(i)) continue;
    text += fmt::format(
        "<span><svg class=\"key\" viewBox=\"0 0 24 8\"><line x1=\"0\" x2=\"24\" y1=\"4\" y2=\"4\" stroke=\"{}\" "
        "stroke-width=\"2\" stroke-dasharray=\"{}\"/></svg> {}</span>",
        kColours[i % kColours.size()], kDashes[i % kDashes.size()], html_text(chart.curves[i].name));
  }
  return text + "</figcaption>\n</figure>\n";
}

}  // namespace posefix::report
