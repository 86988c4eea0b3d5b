// posefix bench: speed of an offline model on this machine. One image is one person: pose rendering, network and
// decoding; cropping excluded.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>

#include "base/error.h"
#include "base/file.h"
#include "base/interrupt.h"
#include "base/threads.h"
#include "cli/command.h"
#include "cli/network_file.h"
#include "cli/peak_flops.h"
#include "cli/step_trace.h"
#include "compiler/tune.h"

namespace posefix::cli {
namespace {

struct Arguments {
  std::string model;
  runtime::SessionOptions session;
  std::optional<int64_t> batch;
  int rounds = 0;
  double seconds = 3;
  bool json = false;
  bool layers = false;
  std::string trace;  // "": none
};

// What a session is run on.
struct Persons : compiler::Persons {
  std::vector<float> coords;
  std::vector<float> spread;

  Persons(const runtime::ModelInfo& info, int64_t count) : compiler::Persons(compiler::noise_persons(info, count)) {
    coords.resize(pose.size());
    spread.resize(valid.size());
  }
  runtime::CropBatch input() const { return {size, crops, pose, valid}; }
  runtime::RefinedBatch output() { return {coords, spread}; }
};

// Milliseconds from the submission of a batch to its answer, sorted; `streams` batches in flight.
std::vector<double> measure_ms(runtime::Session& session, const Arguments& arguments, int64_t streams) {
  using Clock = std::chrono::steady_clock;
  constexpr size_t kLeastRounds = 15;
  struct Batch {
    Persons persons;
    Clock::time_point start;
  };
  const Persons persons(session.info(), session.max_batch());
  std::vector<Batch> batches(static_cast<size_t>(streams), {persons, {}});
  const auto submit = [&](Batch& batch) {
    batch.start = Clock::now();
    session.submit(batch.persons.input(), batch.persons.output());
  };
  const auto wait_for = [&](const Batch& batch) {
    session.wait();
    return std::chrono::duration<double, std::milli>(Clock::now() - batch.start).count();
  };
  // What only the first run costs.
  for (Batch& batch : batches) submit(batch);
  for (const Batch& batch : batches) wait_for(batch);

  std::vector<double> ms;
  const auto begin = Clock::now();
  for (Batch& batch : batches) submit(batch);
  for (size_t i = 0;; i = (i + 1) % batches.size()) {
    throw_if_interrupted();
    ms.push_back(wait_for(batches[i]));
    const bool by_rounds = arguments.rounds > 0;
    if (by_rounds && ms.size() >= static_cast<size_t>(arguments.rounds)) break;
    const double elapsed = std::chrono::duration<double>(Clock::now() - begin).count();
    if (!by_rounds && ms.size() >= kLeastRounds && elapsed >= arguments.seconds) break;
    submit(batches[i]);
  }
  std::sort(ms.begin(), ms.end());
  return ms;
}

double percentile(const std::vector<double>& sorted, double fraction) {
  return sorted[std::min(sorted.size() - 1, static_cast<size_t>(fraction * static_cast<double>(sorted.size())))];
}

// What a step reaches of the peak, in percent; none for steps without arithmetic and for other arithmetic than f32.
std::optional<double> percent_of_peak(const runtime::StepTime& step, double peak_gflops) {
  if (step.gflop == 0 || step.precision != "f32") return std::nullopt;
  return 100 * step.gflop / (step.ms * 1e-3) / peak_gflops;
}

nlohmann::ordered_json layers_json(const std::vector<runtime::StepTime>& steps, double peak_gflops) {
  auto list = nlohmann::ordered_json::array();
  for (const runtime::StepTime& step : steps) {
    list.push_back({{"name", step.name},
                    {"kernel", step.kernel},
                    {"precision", step.precision},
                    {"ms", step.ms},
                    {"gflop", step.gflop},
                    {"percent_of_peak", nullptr},
                    {"mbyte", step.mbyte}});
    if (const auto percent = percent_of_peak(step, peak_gflops)) list.back()["percent_of_peak"] = *percent;
  }
  return list;
}

void print_layers(const std::vector<runtime::StepTime>& steps, double peak_gflops, int threads) {
  double total = 0;
  for (const runtime::StepTime& step : steps) total += step.ms;
  std::printf("%9s %6s %9s %6s %8s %7s  %s\n", "ms", "share", "GFLOP/s", "peak", "MB", "GB/s", "step");
  for (const runtime::StepTime& step : steps) {
    const double seconds = step.ms * 1e-3;
    const auto percent = percent_of_peak(step, peak_gflops);
    std::printf("%9.3f %5.1f%% %9.1f %6s %8.2f %7.1f  %s (%s)\n", step.ms, 100 * step.ms / total, step.gflop / seconds,
                percent ? fmt::format("{:.0f}%", *percent).c_str() : "", step.mbyte, step.mbyte * 1e-3 / seconds,
                step.name.c_str(), step.kernel.c_str());
  }
  std::printf("%9.3f\n", total);
  std::printf("peak: %.1f GFLOP/s, f32 multiply-adds in registers, %d thread%s\n", peak_gflops, threads,
              threads == 1 ? "" : "s");
}

void write_trace(const Arguments& arguments, const runtime::ModelInfo& info, int64_t batch, int threads,
                 const std::vector<runtime::StepTime>& steps) {
  const std::string title =
      fmt::format("{}: {} {}, batch {}, {} thread{}", std::filesystem::path(arguments.model).filename().string(),
                  info.backend, info.precision, batch, threads, threads == 1 ? "" : "s");
  write_file_atomically(arguments.trace, step_trace(steps, title));
}

void run(const Arguments& arguments) {
  check_session_options(arguments.model, arguments.session);
  const auto session = open_network(arguments.model, arguments.session);
  const runtime::ModelInfo& info = session->info();
  if (arguments.batch) check_batch(arguments.model, *session, *arguments.batch);
  const int64_t batch = session->max_batch();
  const int threads = arguments.session.threads > 0 ? arguments.session.threads : available_cores();
  constexpr int kStepRounds = 9;
  std::vector<runtime::StepTime> steps;
  if (arguments.layers || !arguments.trace.empty()) {
    Persons persons(info, batch);
    session->run(persons.input(), persons.output());  // what only the first run costs
    steps = session->measure_steps(persons.input(), kStepRounds);
  }
  if (!arguments.trace.empty()) write_trace(arguments, info, batch, threads, steps);
  const double peak_gflops = arguments.layers ? measure_peak_gflops(threads) : 0;
  // A device with a queue would hold more than are asked for; each would wait there for the one before.
  const int64_t streams = std::min<int64_t>(arguments.session.streams, session->max_in_flight());
  const std::vector<double> ms = measure_ms(*session, arguments, streams);
  const double median = percentile(ms, 0.5);
  const double rate = static_cast<double>(batch * streams) / (median * 1e-3);
  if (arguments.json) {
    nlohmann::ordered_json result{
        {"images_per_second", rate},
        {"latency_ms", {{"p50", median}, {"p90", percentile(ms, 0.9)}, {"p99", percentile(ms, 0.99)}}},
        {"batch", batch},
        {"threads", threads},
        {"streams", streams},
        {"precision", info.precision},
        {"backend", info.backend}};
    if (arguments.layers) {
      result["peak_f32_gflops"] = peak_gflops;
      result["layers"] = layers_json(steps, peak_gflops);
    }
    print_json(result, -1);
    return;
  }
  const std::string in_streams = streams > 1 ? fmt::format(" in {} streams", streams) : "";
  fmt::print("{} {}, batch {}, {} thread{}{}: {:.2f} images/s; latency p50 {:.2f} ms, p90 {:.2f} ms, p99 {:.2f} ms\n",
             info.backend, info.precision, batch, threads, threads == 1 ? "" : "s", in_streams, rate, median,
             percentile(ms, 0.9), percentile(ms, 0.99));
  if (arguments.layers) print_layers(steps, peak_gflops, threads);
}

std::function<void()> setup(CLI::App& app) {
  const auto arguments = std::make_shared<Arguments>();
  app.add_option("MODEL", arguments->model, "plan, .om, snapshot, .pb or .onnx")->required();
  app.add_option("--batch", arguments->batch, "persons at a time. An .om has its own: leave it out")
      ->default_str(fmt::to_string(arguments->session.max_batch));
  app.add_option("--threads", arguments->session.threads, "0: all cores")->capture_default_str();
  app.add_option("--streams", arguments->session.streams,
                 "batches side by side, each on its part of the threads (cpu): more images a second, each batch later")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  app.add_option("--backend", arguments->session.backend, "cpu, reference or torch; default: what the plan is for");
  app.add_option("--device", arguments->session.device, "of the torch backend: cpu, cuda or npu; of an .om: npu:N");
  app.add_option("--precision", arguments->session.precision,
                 "that the torch backend computes in: f32 (default), bf16 or f16; a plan has its own");
  app.add_flag("--device-graphs", arguments->session.device_graphs,
               "the torch backend records a whole batch on a GPU and launches it with one call");
  app.add_option("--rounds", arguments->rounds, "runs to measure; default: as many as fit into --seconds, at least 15")
      ->check(CLI::PositiveNumber);
  app.add_option("--seconds", arguments->seconds, "time to spend")->capture_default_str()->check(CLI::PositiveNumber);
  app.add_flag("--json", arguments->json, "machine-readable result");
  app.add_flag("--layers", arguments->layers,
               "table of every step (cpu): time, GFLOP/s of the plain algorithm, percent of the peak, bytes moved at "
               "least. Peak: the best of 20 short loops of f32 multiply-adds in registers, on as many threads; blank "
               "for bf16 and int8 steps, and Winograd may exceed 100%");
  app.add_option("--trace", arguments->trace,
                 "write 9 runs, step by step (cpu), as a timeline for chrome://tracing or Perfetto")
      ->type_name("FILE.json");
  return [arguments] {
    arguments->session.max_batch = arguments->batch.value_or(arguments->session.max_batch);
    run(*arguments);
  };
}

const CommandRegistration registration{"bench", "speed of an offline model on this machine", &setup};

}  // namespace
}  // namespace posefix::cli
