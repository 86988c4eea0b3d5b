// The Ascend backend against the strict stub of AscendCL: answers, padding, gears, overlap, run modes, bad input,
// faults.
#include "runtime/session.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <thread>

#include "base/error.h"
#include "base/file.h"
#include "base/rng.h"
#include "base/testing/temporary_folder.h"
#include "model_files.h"
#include "runtime/backends/ascend/errors.h"

namespace ascend_stub {
namespace {

using posefix::Error;
using posefix::ErrorCode;
using posefix::runtime::CropBatch;
using posefix::runtime::RefinedBatch;
using posefix::runtime::Session;
using ::testing::AllOf;
using ::testing::HasSubstr;

// The libraries are looked up once a process.
const bool kUsesStub = ::setenv("POSEFIX_ACL_LIBRARY_DIR", ASCEND_STUB_DIR "/lib", 1) == 0;

class Environment {
 public:
  Environment(const char* name, const std::string& value) : name_(name) { ::setenv(name, value.c_str(), 1); }
  ~Environment() { ::unsetenv(name_); }
  Environment(const Environment&) = delete;
  Environment& operator=(const Environment&) = delete;

 private:
  const char* name_;
};

std::unique_ptr<Session> open(const std::filesystem::path& om, const std::string& device = {}) {
  posefix::runtime::SessionOptions options;
  options.device = device;
  return posefix::runtime::open_session(om, options);
}

// Persons with random crops, poses and validity, and what the tiny model answers.
struct Persons {
  explicit Persons(const TinyModel& model, int64_t persons, uint64_t seed = 1) : size(persons) {
    const auto n = static_cast<size_t>(size);
    const auto joints = static_cast<size_t>(model.joints);
    const auto values = static_cast<size_t>(model.height * model.width * 3);
    crops.resize(n * values);
    pose.resize(n * joints * 2);
    valid.resize(n * joints);
    answer.resize(pose.size());
    coords.assign(pose.size(), -1.0F);
    posefix::Rng rng(seed, 0, 0);
    for (uint8_t& value : crops) value = static_cast<uint8_t>(rng.below(256));
    for (float& value : pose) value = static_cast<float>(rng.uniform(0, 24));
    for (float& value : valid) value = static_cast<float>(rng.below(2));
    for (size_t p = 0; p < n; ++p) {
      double sum = 0;
      for (size_t i = 0; i < values; ++i) sum += crops[p * values + i] - kMeanBgr[i % 3];
      for (size_t j = 0; j < joints * 2; ++j) {
        answer[p * joints * 2 + j] =
            pose[p * joints * 2 + j] + 4 * kImageWeight * static_cast<float>(sum) * valid[p * joints + j / 2];
      }
    }
  }
  CropBatch input() const { return {size, crops, pose, valid}; }
  RefinedBatch output() { return {coords, {}}; }
  float worst() const {
    float worst = 0;
    for (size_t i = 0; i < coords.size(); ++i) worst = std::max(worst, std::abs(coords[i] - answer[i]));
    return worst;
  }

  int64_t size;
  std::vector<uint8_t> crops;
  std::vector<float> pose;
  std::vector<float> valid;
  std::vector<float> answer;
  std::vector<float> coords;
};

void expect_answers(Session& session, const TinyModel& model, float tolerance = 1e-3F) {
  for (int64_t size = 1; size <= session.max_batch(); ++size) {
    SCOPED_TRACE(size);
    Persons persons(model, size, static_cast<uint64_t>(size));
    session.run(persons.input(), persons.output());
    EXPECT_LT(persons.worst(), tolerance);
  }
}

// What opening `om` says; the error must be of `code`.
std::string opening_error(const std::filesystem::path& om, ErrorCode code, const std::string& device = {}) {
  try {
    open(om, device);
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), code) << error.what();
    return error.what();
  }
  ADD_FAILURE() << "no error";
  return "";
}

TEST(AscendSession, FixedBatchIsPaddedAndPaddingIsNotReported) {
  const posefix::TemporaryFolder folder;
  const TinyModel model;
  const auto session = open(write_tiny(folder.path(), model));
  EXPECT_EQ(session->info().backend, "ascend");
  EXPECT_EQ(session->max_batch(), 4);
  expect_answers(*session, model);
}

TEST(AscendSession, GearsAreChosenForEverySize) {
  const posefix::TemporaryFolder folder;
  const TinyModel model{.batches = {1, 2, 5}};
  const auto session = open(write_tiny(folder.path(), model));
  EXPECT_EQ(session->max_batch(), 5);
  expect_answers(*session, model);
}

TEST(AscendSession, HalfPrecisionInAndOut) {
  const posefix::TemporaryFolder folder;
  const TinyModel model{.image_dtype = "f16", .output_dtype = "f16"};
  const auto session = open(write_tiny(folder.path(), model));
  expect_answers(*session, model,
                 0.2F);  // f16 has steps of 4 / 256 at 16 heat-map px, and the picture's sum adds its own
}

TEST(AscendSession, BytesInWithAipp) {
  const posefix::TemporaryFolder folder;
  const TinyModel model{.batches = {1, 3}, .image_dtype = "u8"};
  const auto session = open(write_tiny(folder.path(), model));
  expect_answers(*session, model);
}

TEST(AscendSession, DeviceRunModeCopiesNothing) {
  const Environment mode("ASCEND_STUB_RUN_MODE", "device");
  const posefix::TemporaryFolder folder;
  for (const std::vector<int64_t>& batches : {std::vector<int64_t>{4}, std::vector<int64_t>{1, 2, 5}}) {
    const TinyModel model{.batches = batches};
    const auto session = open(write_tiny(folder.path(), model));
    expect_answers(*session, model);
  }
}

TEST(AscendSession, TwoBatchesInFlightFromSeveralThreads) {
  const posefix::TemporaryFolder folder;
  const TinyModel model{.batches = {1, 2, 4}};
  const auto session = open(write_tiny(folder.path(), model));
  ASSERT_EQ(session->max_in_flight(), 2);
  std::vector<std::unique_ptr<Persons>> batches;
  for (uint64_t i = 0; i < 9; ++i) batches.push_back(std::make_unique<Persons>(model, 1 + i % 4, i));
  for (size_t i = 0; i < batches.size(); ++i) {
    std::thread([&] {
      if (i >= 2) session->wait();
      session->submit(batches[i]->input(), batches[i]->output());
    }).join();
  }
  std::thread([&] { session->wait(); }).join();
  session->wait();
  for (const auto& persons : batches) EXPECT_LT(persons->worst(), 1e-3F);
}

// The device has room for the weights, the work memory and two batches: the second load takes nothing.
TEST(AscendSession, BothLoadsShareTheirWeightsAndWorkMemory) {
  const posefix::TemporaryFolder folder;
  const TinyModel model;
  const auto om = write_tiny(folder.path(), model);
  const OmFile file = tiny_om(model);
  size_t bytes = file.weight_bytes() + file.work_bytes();
  for (const auto& ports : {file.inputs, file.outputs}) {
    for (const OmPort& port : ports) bytes += 2 * file.bytes(port);
  }
  {
    const Environment memory("ASCEND_STUB_DEVICE_BYTES", std::to_string(bytes));
    const auto session = open(om);
    expect_answers(*session, model);
  }
  const Environment memory("ASCEND_STUB_DEVICE_BYTES", std::to_string(bytes - 1));
  EXPECT_THAT(opening_error(om, ErrorCode::kFailed), HasSubstr("out of memory"));
}

// AscendCL does not know the sizes of a model with open shapes; then each load takes memory of its own.
TEST(AscendSession, AModelWhoseSizesAreNotKnown) {
  const posefix::TemporaryFolder folder;
  const TinyModel model;
  const Environment fault("ASCEND_STUB_FAULT", "query_size");
  const auto session = open(write_tiny(folder.path(), model));
  expect_answers(*session, model);
}

TEST(AscendSession, SeveralSessionsSideBySide) {
  const Environment devices("ASCEND_STUB_DEVICES", "2");
  const posefix::TemporaryFolder folder;
  const TinyModel model;
  const auto om = write_tiny(folder.path(), model);
  auto first = open(om, "npu");
  const auto second = open(om, "npu:1");
  const auto third = open(om, "npu:0");
  expect_answers(*second, model);
  first.reset();
  expect_answers(*third, model);
}

TEST(AscendSession, SpreadIsNanWhereTheModelHasNone) {
  const posefix::TemporaryFolder folder;
  const TinyModel model;
  const auto session = open(write_tiny(folder.path(), model));
  Persons persons(model, 2);
  std::vector<float> spread(2 * 3, 0.0F);
  session->run(persons.input(), {persons.coords, spread});
  for (const float value : spread) EXPECT_TRUE(std::isnan(value));
}

TEST(AscendBadInput, SidecarThatIsMissingForeignOrOfAnotherModel) {
  const posefix::TemporaryFolder folder;
  const auto om = write_tiny(folder.path(), {});
  const auto json = posefix::runtime::ascend::sidecar_path(om);
  posefix::write_file_atomically(om, posefix::read_file(om) + "x");
  EXPECT_THAT(opening_error(om, ErrorCode::kBadInput), HasSubstr("belongs to another model"));
  posefix::write_file_atomically(json, "{\"format\": \"other\", \"version\": 1}");
  EXPECT_THAT(opening_error(om, ErrorCode::kBadInput), HasSubstr("posefix.om"));
  posefix::write_file_atomically(json, "not json");
  EXPECT_THAT(opening_error(om, ErrorCode::kBadInput), HasSubstr("not valid JSON"));
  std::filesystem::remove(json);
  EXPECT_THAT(opening_error(om, ErrorCode::kBadInput), HasSubstr("sidecar"));
  std::filesystem::remove(om);
  EXPECT_THAT(opening_error(om, ErrorCode::kBadInput), HasSubstr("M.om"));
}

TEST(AscendBadInput, DescriptionThatDiffersGivesATable) {
  const posefix::TemporaryFolder folder;
  const auto om = write_tiny(folder.path(), {.joints = 4});
  const auto json = posefix::runtime::ascend::sidecar_path(om);
  const auto true_sidecar = posefix::runtime::ascend::read_om_sidecar(json);
  auto sidecar = tiny_sidecar({.height = 64, .batches = {1, 2, 4}});
  sidecar.inputs[1].name = "pose";
  sidecar.om_sha256 = true_sidecar.om_sha256;
  sidecar.om_bytes = true_sidecar.om_bytes;
  posefix::runtime::ascend::write_om_sidecar(json, sidecar);
  EXPECT_THAT(
      opening_error(om, ErrorCode::kBadInput),
      AllOf(HasSubstr("input image shape"), HasSubstr("[-1, 64, 24, 3]"), HasSubstr("[4, 32, 24, 3]"),
            HasSubstr("input pose name"), HasSubstr("output coords shape"), HasSubstr("gears"), HasSubstr("1,2,4")));
}

TEST(AscendBadInput, AnotherSoc) {
  const posefix::TemporaryFolder folder;
  const auto om = write_tiny(folder.path(), {});
  auto sidecar = posefix::runtime::ascend::read_om_sidecar(posefix::runtime::ascend::sidecar_path(om));
  sidecar.soc = "Ascend910B3";
  posefix::runtime::ascend::write_om_sidecar(posefix::runtime::ascend::sidecar_path(om), sidecar);
  EXPECT_THAT(opening_error(om, ErrorCode::kBadInput), AllOf(HasSubstr("Ascend910B3"), HasSubstr("Ascend310P3")));
  // A model and a sidecar that agree, on another chip: said before the driver fails to load it.
  const auto good = write_tiny(folder.path(), {});
  const Environment other("ASCEND_STUB_SOC", "Ascend310B4");
  EXPECT_THAT(opening_error(good, ErrorCode::kBadInput),
              HasSubstr("compiled for Ascend310P3, this device is Ascend310B4"));
}

TEST(AscendBadInput, Devices) {
  const posefix::TemporaryFolder folder;
  const auto om = write_tiny(folder.path(), {});
  EXPECT_THAT(opening_error(om, ErrorCode::kBadInput, "npu:1"), HasSubstr("1 Ascend device"));
  EXPECT_THAT(opening_error(om, ErrorCode::kBadInput, "cuda"), HasSubstr("npu:N"));
  const Environment none("ASCEND_STUB_DEVICES", "0");
  EXPECT_THAT(opening_error(om, ErrorCode::kBadInput), HasSubstr("0 Ascend devices"));
}

TEST(AscendBadInput, AnotherBackend) {
  const posefix::TemporaryFolder folder;
  posefix::runtime::SessionOptions options;
  options.backend = "cpu";
  EXPECT_THROW(posefix::runtime::open_session(write_tiny(folder.path(), {}), options), Error);
  options.backend = "ascend";
  EXPECT_NE(posefix::runtime::open_session(write_tiny(folder.path(), {}), options), nullptr);
}

TEST(AscendFault, WhileOpening) {
  const posefix::TemporaryFolder folder;
  const auto om = write_tiny(folder.path(), {});
  const std::vector<std::pair<std::string, std::string>> faults{{"init", "aclInit"},
                                                                {"set_device", "no permission"},
                                                                {"load", "compile it again"},
                                                                {"load:2", "compile it again"},
                                                                {"malloc:3", "aclrtMalloc"},
                                                                {"malloc_host:2", "out of memory"},
                                                                {"malloc:7", "smaller --batch"}};
  for (const auto& [fault, message] : faults) {
    SCOPED_TRACE(fault);
    const Environment environment("ASCEND_STUB_FAULT", fault);
    EXPECT_THAT(opening_error(om, ErrorCode::kFailed), HasSubstr(message));
  }
  EXPECT_NE(open(om), nullptr);  // nothing was left behind
}

TEST(AscendFault, FailedRunIsReportedAndTheNextOneWorks) {
  const posefix::TemporaryFolder folder;
  const TinyModel model;
  const Environment environment("ASCEND_STUB_FAULT", "execute:2");
  const auto session = open(write_tiny(folder.path(), model));
  Persons first(model, 3, 1);
  Persons second(model, 4, 2);
  Persons third(model, 2, 3);
  session->submit(first.input(), first.output());
  session->submit(second.input(), second.output());
  session->wait();
  EXPECT_LT(first.worst(), 1e-3F);
  try {
    session->wait();
    ADD_FAILURE() << "no error";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kFailed);
    EXPECT_THAT(error.what(), AllOf(HasSubstr("507011"), HasSubstr("model execute failed")));
  }
  session->run(third.input(), third.output());
  EXPECT_LT(third.worst(), 1e-3F);
}

// What a user does about each code stands behind the words for it.
TEST(AscendErrors, SayWhatToDo) {
  using posefix::runtime::ascend::explain;
  const std::vector<std::pair<int, std::string>> advice{{100012, "compile it again"},
                                                        {100039, "set_env.sh"},
                                                        {107001, "--device npu:N"},
                                                        {107002, "report it"},
                                                        {145000, "compile the model again"},
                                                        {145001, "report it"},
                                                        {145013, "--batch"},
                                                        {145015, "--aipp"},
                                                        {148049, "set_env.sh"},
                                                        {207000, "install"},
                                                        {207001, "smaller --batch"},
                                                        {207003, "--precision"},
                                                        {207004, "npu-smi info"},
                                                        {207006, "HwHiAiUser"},
                                                        {245000, "smaller --batch"},
                                                        {500002, "compile it again"},
                                                        {500004, "npu-smi info"},
                                                        {507010, "reset the device"},
                                                        {507011, "--on-error retry"},
                                                        {507015, "--on-error retry"},
                                                        {507018, "~/ascend/log"},
                                                        {507046, "POSEFIX_ASCEND_TIMEOUT_MS"},
                                                        {507054, "reset the device"},
                                                        {507899, "npu-smi info"},
                                                        {545002, "compile it again"},
                                                        // Codes that are in no list, by their first digit.
                                                        {199999, "~/ascend/log"},
                                                        {299999, "npu-smi info"},
                                                        {399999, "npu-smi info"},
                                                        {599999, "~/ascend/log"}};
  for (const auto& [code, words] : advice) EXPECT_THAT(std::string(explain(code)), HasSubstr(words)) << code;
}

// Runs one batch and prints the error; in a process of its own, since the device is gone afterwards.
[[noreturn]] void run_on_failing_device(const std::string& fault) {
  const Environment environment("ASCEND_STUB_FAULT", fault);
  const Environment timeout("POSEFIX_ASCEND_TIMEOUT_MS", "200");
  const posefix::TemporaryFolder folder;
  const TinyModel model;
  const auto session = open(write_tiny(folder.path(), model));
  Persons persons(model, 3);
  try {
    session->run(persons.input(), persons.output());
  } catch (const Error& error) {
    std::fprintf(stderr, "%s\n", error.what());
    try {
      session->run(persons.input(), persons.output());
    } catch (const Error& second) {
      std::fprintf(stderr, "then: %s\n", second.what());
      std::exit(error.exit_code());
    }
  }
  std::exit(99);
}

TEST(AscendFault, HangEndsAfterTheTimeLimit) {
  EXPECT_EXIT(run_on_failing_device("hang"), ::testing::ExitedWithCode(1), "did not finish in time(.|\n)*then: .*lost");
}

TEST(AscendFault, LostDeviceIsNotUsedAgain) {
  EXPECT_EXIT(run_on_failing_device("lost"), ::testing::ExitedWithCode(1), "no longer answers(.|\n)*then: .*lost");
}

}  // namespace
}  // namespace ascend_stub
