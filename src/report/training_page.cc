#include "report/training_page.h"

#include <fmt/format.h>

#include <array>
#include <cmath>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/file.h"
#include "report/html_page.h"
#include "report/line_chart.h"

namespace posefix::report {
namespace {

using Json = nlohmann::json;

constexpr const char* kStyle = R"css(h2 { font-size: 1rem; margin: 0 0 .3rem; }
main { display: grid; grid-template-columns: repeat(auto-fit, minmax(420px, 1fr)); gap: 1.5rem; margin: 1rem 0 2rem; }
figure { margin: 0; }
figure > svg { width: 100%; height: auto; }
svg text { font-size: 11px; fill: currentColor; }
svg .grid { stroke: currentColor; stroke-opacity: .15; }
svg.key { width: 24px; height: 8px; vertical-align: middle; }
pre { font-size: 13px; overflow-x: auto; }
)css";

struct Metrics {
  std::vector<Json> starts;       // {"step": .., "start": {..}}: a line for every start of the program
  std::vector<Json> steps;        // lines of train.log_every
  std::vector<Json> validations;  // {"step": .., "epoch": .., "validation": {..}}
};

Metrics read_metrics(const std::filesystem::path& path) {
  Metrics metrics;
  std::istringstream lines(read_file(path));
  for (std::string line; std::getline(lines, line);) {
    Json json = Json::parse(line, nullptr, /*allow_exceptions=*/false);
    if (!json.is_object() || !json.contains("step")) continue;  // torn by a kill
    std::vector<Json>& kind = json.contains("validation") ? metrics.validations
                              : json.contains("start")    ? metrics.starts
                                                          : metrics.steps;
    kind.push_back(std::move(json));
  }
  return metrics;
}

double number(const Json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_number() ? found->get<double>() : std::nan("");
}

// A curve of `key` (of the object `inside` in the line, if one is named) times `factor`, over epochs.
Curve curve(const std::string& name, const std::vector<Json>& lines, const char* key, const char* inside = nullptr,
            double factor = 1) {
  Curve result{name, {}};
  for (const Json& line : lines) {
    const Json& object = inside == nullptr ? line : line.at(inside);
    result.points.emplace_back(number(line, "epoch"), factor * number(object, key));
  }
  return result;
}

std::vector<LineChart> charts_of(const Metrics& m) {
  const char* epochs = "epochs";
  const char* v = "validation";
  return {
      {"Loss", epochs, {curve("training", m.steps, "loss"), curve("validation", m.validations, "loss", v)}, true},
      {"Parts of the training loss",
       epochs,
       {curve("heat map", m.steps, "loss_heatmap"), curve("coordinates", m.steps, "loss_coord"),
        curve("weights (L2)", m.steps, "loss_l2")},
       true},
      {"AP of an estimator's poses, percent",
       epochs,
       {curve("before", m.validations, "ap_before", v, 100), curve("after", m.validations, "ap_after", v, 100)},
       false},
      {"Mean error of drawn poses, px in the crop",
       epochs,
       {curve("before", m.validations, "error_before_px", v), curve("after", m.validations, "error_after_px", v)},
       false},
      {"Joints within 5% of the crop's height, percent",
       epochs,
       {curve("before", m.validations, "pck_before", v, 100), curve("after", m.validations, "pck_after", v, 100)},
       false},
      {"Learning rate", epochs, {curve("learning rate", m.steps, "learning_rate")}, false},
      {"Samples per second", epochs, {curve("samples/s", m.steps, "samples_per_s")}, false},
      {"Waiting for data, percent of the time",
       epochs,
       {curve("waiting", m.steps, "waiting_share", nullptr, 100)},
       false},
  };
}

std::string duration(double seconds) {
  const auto whole = static_cast<int64_t>(seconds);
  if (whole < 60) return fmt::format("{:.1f} s", seconds);
  return fmt::format("{} h {:02} min {:02} s", whole / 3600, whole / 60 % 60, whole % 60);
}

// Time between lines, of steps that the run kept; what a killed process did after its last snapshot does not count.
double training_seconds(const std::vector<Json>& steps) {
  double seconds = 0;
  for (const Json& line : steps) {
    const double part = number(line, "seconds");
    if (std::isfinite(part)) seconds += part;
  }
  return seconds;
}

Figures summary_of(const Metrics& metrics) {
  Figures summary;
  if (!metrics.steps.empty()) {
    const Json& last = metrics.steps.back();
    summary.emplace_back("Steps", fmt::format("{} ({:.2f} epochs)", last.at("step").dump(), number(last, "epoch")));
    summary.emplace_back("Loss at the end", fmt::format("{:.4f}", number(last, "loss")));
  }
  const Json* best = nullptr;
  for (const Json& line : metrics.validations) {
    if (best == nullptr || number(line.at("validation"), "score") > number(best->at("validation"), "score")) {
      best = &line;
    }
  }
  if (best != nullptr) {
    const Json& figures = best->at("validation");
    std::string text = fmt::format("step {}: error {:.2f} px before, {:.2f} px after", best->at("step").dump(),
                                   number(figures, "error_before_px"), number(figures, "error_after_px"));
    if (figures.contains("ap_after")) {
      text += fmt::format("; AP {:.2f} before, {:.2f} after", 100 * number(figures, "ap_before"),
                          100 * number(figures, "ap_after"));
    }
    summary.emplace_back("Best validation", text);
  }
  summary.emplace_back("Time in steps", duration(training_seconds(metrics.steps)));
  if (!metrics.starts.empty()) {
    const Json& start = metrics.starts.back().at("start");
    constexpr std::array<std::pair<const char*, const char*>, 5> kLabels = {{{"machine", "Machine"},
                                                                             {"device", "Device"},
                                                                             {"libtorch", "LibTorch"},
                                                                             {"threads", "Threads"},
                                                                             {"persons", "People to train on"}}};
    for (const auto& [key, label] : kLabels) {
      const auto found = start.find(key);
      if (found == start.end()) continue;
      summary.emplace_back(label, found->is_string() ? found->get<std::string>() : found->dump());
    }
    summary.emplace_back("Starts of the program", fmt::format("{}", metrics.starts.size()));
  }
  return summary;
}

}  // namespace

void write_training_page(const std::filesystem::path& run, const std::filesystem::path& page) {
  const std::filesystem::path metrics_path = run / "metrics.jsonl";
  if (!std::filesystem::exists(metrics_path)) {
    throw bad_input("{}: not the folder of a training run: it holds no metrics.jsonl", run.string());
  }
  const Metrics metrics = read_metrics(metrics_path);
  std::string text = html_begin("Training run " + run.filename().string(), summary_of(metrics), 1340, kStyle);
  text += "<main>\n";
  for (const LineChart& chart : charts_of(metrics)) text += line_chart_html(chart);
  text += "</main>\n";
  const std::filesystem::path config = run / "config.yaml";
  if (std::filesystem::exists(config)) {
    text += fmt::format("<h2>Configuration</h2>\n<pre>{}</pre>\n", html_text(read_file(config)));
  }
  write_file_atomically(page, text + html_end());
}

}  // namespace posefix::report
