// Every rule of the stub, broken once: a rule that cannot fail checks nothing. And a caller that keeps them all.
#include "rules.h"

#include <gtest/gtest.h>

#include <cstring>
#include <thread>

#include "base/file.h"
#include "base/testing/temporary_folder.h"
#include "model_files.h"
#include "runtime/backends/ascend/library.h"

namespace ascend_stub {
namespace {

namespace acl = posefix::runtime::ascend;

acl::Acl functions_of(const std::string& folder) {
  acl::Acl functions;
  acl::search_folder(ASCEND_STUB_DIR "/" + folder, functions);
  return functions;
}

void must(acl::aclError code) {
  if (code != 0) std::fprintf(stderr, "unexpected code %d\n", code), std::_Exit(98);
}

// A caller written against AscendCL with nothing between: two data sets on one stream each.
class Caller {
 public:
  explicit Caller(const TinyModel& model, const std::string& folder = "lib") : f(functions_of(folder)), model_(model) {
    path_ = write_tiny(folder_.path(), model).string();
  }

  void open() {
    must(f.aclInit(nullptr));
    must(f.aclrtSetDevice(0));
    must(f.aclrtCreateContext(&context, 0));
    must(f.aclrtCreateStream(&stream));
    must(f.aclmdlQuerySize(path_.c_str(), &work_bytes, &weight_bytes));
    must(f.aclrtMalloc(&work, work_bytes, acl::ACL_MEM_MALLOC_HUGE_FIRST));
    must(f.aclrtMalloc(&weights, weight_bytes, acl::ACL_MEM_MALLOC_HUGE_FIRST));
    model_id = load(path_);
    description = f.aclmdlCreateDesc();
    must(f.aclmdlGetDesc(description, model_id));
    inputs = f.aclmdlCreateDataset();
    outputs = f.aclmdlCreateDataset();
    for (size_t i = 0; i < f.aclmdlGetNumInputs(description); ++i) {
      bytes.push_back(f.aclmdlGetInputSizeByIndex(description, i));
      add(inputs, bytes.back());
    }
    bytes.push_back(f.aclmdlGetOutputSizeByIndex(description, 0));
    add(outputs, bytes.back());
    for (const size_t size : bytes) {
      host.emplace_back();
      must(f.aclrtMallocHost(&host.back(), size));
      std::memset(host.back(), 0, size);
    }
  }
  // Into this model's memory, which several loads may have.
  uint32_t load(const std::string& path) {
    uint32_t id = 0;
    must(f.aclmdlLoadFromFileWithMem(path.c_str(), &id, work, work_bytes, weights, weight_bytes));
    return id;
  }
  uint32_t load_again() { return load(path_); }
  void copy_in() { copy_in(stream); }
  void copy_in(acl::aclrtStream queue) {
    for (size_t i = 0; i < 3; ++i) {
      must(f.aclrtMemcpyAsync(device[i], bytes[i], host[i], bytes[i], acl::ACL_MEMCPY_HOST_TO_DEVICE, queue));
    }
  }
  acl::aclrtStream another_stream() {
    acl::aclrtStream other = nullptr;
    must(f.aclrtCreateStream(&other));
    return other;
  }
  // An event for what stands in `queue`.
  acl::aclrtEvent record(acl::aclrtStream queue) {
    acl::aclrtEvent event = nullptr;
    must(f.aclrtCreateEvent(&event));
    must(f.aclrtRecordEvent(event, queue));
    return event;
  }
  void set_gear(uint64_t gear) { must(f.aclmdlSetDynamicBatchSize(model_id, inputs, 3, gear)); }
  void execute() { must(f.aclmdlExecuteAsync(model_id, inputs, outputs, stream)); }
  // On data sets of its own, which are left as they are.
  void execute_another_load(acl::aclrtStream queue) {
    model_id = load_again();
    inputs = f.aclmdlCreateDataset();
    outputs = f.aclmdlCreateDataset();
    device.clear();
    for (size_t i = 0; i < bytes.size(); ++i) add(i + 1 < bytes.size() ? inputs : outputs, bytes[i]);
    copy_in(queue);
    must(f.aclmdlExecuteAsync(model_id, inputs, outputs, queue));
  }
  void copy_out() {
    must(f.aclrtMemcpyAsync(host.back(), bytes.back(), device.back(), bytes.back(), acl::ACL_MEMCPY_DEVICE_TO_HOST,
                            stream));
  }
  void synchronize() { must(f.aclrtSynchronizeStream(stream)); }
  void close_all_but_context() {
    must(f.aclmdlDestroyDataset(inputs));
    must(f.aclmdlDestroyDataset(outputs));
    for (const acl::aclDataBuffer* buffer : buffers) must(f.aclDestroyDataBuffer(buffer));
    for (void* memory : device) must(f.aclrtFree(memory));
    for (void* memory : host) must(f.aclrtFreeHost(memory));
    must(f.aclmdlDestroyDesc(description));
    must(f.aclmdlUnload(model_id));
    must(f.aclrtFree(work));
    must(f.aclrtFree(weights));
    must(f.aclrtDestroyStream(stream));
  }
  void close() {
    close_all_but_context();
    must(f.aclrtDestroyContext(context));
    must(f.aclrtResetDevice(0));
    must(f.aclFinalize());
  }

  acl::Acl f;
  acl::aclrtContext context = nullptr;
  acl::aclrtStream stream = nullptr;
  uint32_t model_id = 0;
  size_t work_bytes = 0;
  size_t weight_bytes = 0;
  void* work = nullptr;
  void* weights = nullptr;
  acl::aclmdlDesc* description = nullptr;
  acl::aclmdlDataset* inputs = nullptr;
  acl::aclmdlDataset* outputs = nullptr;
  std::vector<size_t> bytes;  // inputs, then the output
  std::vector<void*> device;
  std::vector<void*> host;
  std::vector<acl::aclDataBuffer*> buffers;
  const std::string& path() const { return path_; }

 private:
  void add(acl::aclmdlDataset* set, size_t size) {
    device.emplace_back();
    must(f.aclrtMalloc(&device.back(), size, acl::ACL_MEM_MALLOC_HUGE_FIRST));
    buffers.push_back(f.aclCreateDataBuffer(device.back(), size));
    must(f.aclmdlAddDatasetBuffer(set, buffers.back()));
  }
  posefix::TemporaryFolder folder_;
  TinyModel model_;
  std::string path_;
};

const TinyModel kFixed;
const TinyModel kGears{.batches = {1, 2, 4}};

void keep_all_rules(const TinyModel& model, const std::string& folder) {
  Caller caller(model, folder);
  caller.open();
  for (int run = 0; run < 3; ++run) {
    caller.copy_in();
    if (model.batches.size() > 1) caller.set_gear(2);
    caller.execute();
    caller.copy_out();
    caller.synchronize();
  }
  // Copies on a stream of their own, before and after the run.
  const acl::aclrtStream copies = caller.another_stream();
  caller.copy_in(copies);
  const acl::aclrtEvent copied = caller.record(copies);
  must(caller.f.aclrtStreamWaitEvent(caller.stream, copied));
  if (model.batches.size() > 1) caller.set_gear(2);
  caller.execute();
  const acl::aclrtEvent done = caller.record(caller.stream);
  must(caller.f.aclrtStreamWaitEvent(copies, done));
  must(caller.f.aclrtMemcpyAsync(caller.host.back(), caller.bytes.back(), caller.device.back(), caller.bytes.back(),
                                 acl::ACL_MEMCPY_DEVICE_TO_HOST, copies));
  caller.copy_in(copies);
  must(caller.f.aclrtSynchronizeStream(copies));  // the other one's work came before
  std::memset(caller.host.back(), 0, caller.bytes.back());
  // Another load in the same memory, which runs after this one; and one whose memory the driver takes.
  const uint32_t second = caller.load_again();
  uint32_t third = 0;
  must(caller.f.aclmdlLoadFromFileWithMem(caller.path().c_str(), &third, nullptr, 0, nullptr, 0));
  if (model.batches.size() > 1) caller.set_gear(2);
  caller.execute();
  const acl::aclrtEvent first_done = caller.record(caller.stream);
  must(caller.f.aclrtStreamWaitEvent(copies, first_done));
  caller.copy_in(copies);
  if (model.batches.size() > 1) caller.set_gear(2);
  must(caller.f.aclmdlExecuteAsync(second, caller.inputs, caller.outputs, copies));
  must(caller.f.aclrtSynchronizeStream(copies));
  for (const uint32_t id : {second, third}) must(caller.f.aclmdlUnload(id));
  for (const acl::aclrtEvent event : {copied, done, first_done}) must(caller.f.aclrtDestroyEvent(event));
  must(caller.f.aclrtDestroyStream(copies));
  caller.close();
  std::exit(0);
}

TEST(StubRules, ACallerThatKeepsThemAllPasses) {
  for (const char* folder : {"lib", "lib_old"}) {
    EXPECT_EXIT(keep_all_rules(kFixed, folder), ::testing::ExitedWithCode(0), "");
    EXPECT_EXIT(keep_all_rules(kGears, folder), ::testing::ExitedWithCode(0), "");
  }
}

// Opens, lets `body` break the rule, and ends the process well if it did not.
template <typename Body>
void with_open(const TinyModel& model, const Body& body) {
  Caller caller(model);
  caller.open();
  body(caller);
  std::_Exit(0);
}

#define EXPECT_BROKEN(rule, model, ...)                                           \
  EXPECT_DEATH(with_open(model, []([[maybe_unused]] Caller& c) { __VA_ARGS__; }), \
               std::string("rule '") + (rule) + "' broken")

TEST(StubRules, InitOnce) { EXPECT_BROKEN(kInitOnce, kFixed, c.f.aclInit(nullptr)); }

TEST(StubRules, InitFirst) {
  EXPECT_DEATH(functions_of("lib").aclrtSetDevice(0), "rule 'init_first' broken");
  EXPECT_BROKEN(kInitFirst, kFixed, c.close(); c.f.aclrtSetDevice(0));
}

TEST(StubRules, DeviceSet) {
  EXPECT_BROKEN(kDeviceSet, kFixed, acl::aclrtContext other = nullptr; c.f.aclrtCreateContext(&other, 1));
  EXPECT_BROKEN(kDeviceSet, kFixed, c.f.aclrtResetDevice(1));
}

TEST(StubRules, ContextCurrentOnThisThread) {
  EXPECT_BROKEN(kContextCurrent, kFixed, std::thread([&] { c.synchronize(); }).join());
  EXPECT_BROKEN(kContextCurrent, kFixed, std::thread([&] { c.copy_in(); }).join());
  EXPECT_BROKEN(kContextCurrent, kFixed, std::thread([&] { c.execute(); }).join());
  EXPECT_BROKEN(kContextCurrent, kFixed, std::thread([&] {
                                           void* memory = nullptr;
                                           c.f.aclrtMalloc(&memory, 16, acl::ACL_MEM_MALLOC_HUGE_FIRST);
                                         }).join());
}

TEST(StubRules, StreamOfTheContext) {
  EXPECT_BROKEN(kStreamContext, kFixed, acl::aclrtContext other = nullptr; c.f.aclrtCreateContext(&other, 0);
                c.f.aclrtSynchronizeStream(c.stream));
}

TEST(StubRules, LoadExecuteUnloadInOneContext) {
  EXPECT_BROKEN(kModelContext, kFixed, acl::aclrtContext other = nullptr; c.f.aclrtCreateContext(&other, 0);
                c.execute());
  EXPECT_BROKEN(kModelContext, kFixed, acl::aclrtContext other = nullptr; c.f.aclrtCreateContext(&other, 0);
                c.f.aclmdlUnload(c.model_id));
}

TEST(StubRules, OneModelNeverConcurrently) {
  EXPECT_BROKEN(kModelConcurrency, kFixed, c.copy_in(); c.execute(); c.f.aclrtCreateStream(&c.stream); c.execute());
}

TEST(StubRules, UnloadOnlyWhenIdle) {
  EXPECT_BROKEN(kModelBusy, kFixed, c.copy_in(); c.execute(); c.f.aclmdlUnload(c.model_id));
}

TEST(StubRules, SizesAsInTheDescription) {
  EXPECT_BROKEN(kSizesMatch, kFixed, c.f.aclmdlAddDatasetBuffer(c.inputs, c.buffers[0]); c.execute());
  EXPECT_BROKEN(kSizesMatch, kFixed, std::swap(c.inputs, c.outputs); c.execute());
  EXPECT_BROKEN(
      kSizesMatch, kFixed, c.inputs = c.f.aclmdlCreateDataset(); for (size_t i = 0; i < 3; ++i) {
        c.f.aclmdlAddDatasetBuffer(c.inputs, c.f.aclCreateDataBuffer(c.device[i], c.bytes[i] - 4));
      } c.execute());
  // Larger than the memory behind it.
  EXPECT_BROKEN(
      kSizesMatch, kFixed, c.inputs = c.f.aclmdlCreateDataset(); for (size_t i = 0; i < 3; ++i) {
        c.f.aclmdlAddDatasetBuffer(c.inputs, c.f.aclCreateDataBuffer(c.device[2], c.bytes[i]));
      } c.execute());
  EXPECT_BROKEN(kSizesMatch, kFixed, acl::aclmdlIODims dims{}; c.f.aclmdlGetInputDims(c.description, 7, &dims));
}

TEST(StubRules, DevicePointersFromMallocOnly) {
  EXPECT_BROKEN(kDevicePointer, kFixed, c.device[0] = c.host[0]; c.copy_in());
  EXPECT_BROKEN(
      kDevicePointer, kFixed, c.inputs = c.f.aclmdlCreateDataset(); for (size_t i = 0; i < 3; ++i) {
        c.f.aclmdlAddDatasetBuffer(c.inputs, c.f.aclCreateDataBuffer(c.host[i], c.bytes[i]));
      } c.execute());
}

TEST(StubRules, AsynchronousCopiesNeedPinnedMemory) {
  EXPECT_BROKEN(kPinnedPointer, kFixed, std::vector<char> pageable(c.bytes[0]); c.host[0] = pageable.data();
                c.copy_in());
}

TEST(StubRules, CopiesWithinTheirBuffers) {
  EXPECT_BROKEN(kCopyBounds, kFixed, c.bytes[0] += 1; c.copy_in());
  EXPECT_BROKEN(kCopyBounds, kFixed,
                c.f.aclrtMemcpyAsync(c.device[1], 8, c.host[1], 9, acl::ACL_MEMCPY_HOST_TO_DEVICE, c.stream));
}

TEST(StubRules, NoHostCopiesInDeviceRunMode) {
  const auto body = []([[maybe_unused]] Caller& c) {
    ::setenv("ASCEND_STUB_RUN_MODE", "device", 1);
    must(c.f.aclInit(nullptr));
    must(c.f.aclrtSetDevice(0));
    must(c.f.aclrtCreateContext(&c.context, 0));
    void* memory = nullptr;
    c.f.aclrtMallocHost(&memory, 16);
  };
  EXPECT_DEATH(
      {
        Caller caller(kFixed);
        body(caller);
      },
      "rule 'run_mode_copy' broken");
}

TEST(StubRules, NoUseAfterFree) {
  EXPECT_BROKEN(kUseAfterFree, kFixed, c.f.aclrtFree(c.device[0]); c.execute());
  EXPECT_BROKEN(kUseAfterFree, kFixed, c.f.aclrtFree(c.device[0]); c.copy_in());
  EXPECT_BROKEN(kUseAfterFree, kFixed, c.f.aclrtFree(c.device[0]); c.f.aclrtFree(c.device[0]));
  EXPECT_BROKEN(kUseAfterFree, kFixed, c.f.aclrtFreeHost(c.host[0]); std::memset(c.host[0], 0, 4));
  EXPECT_BROKEN(kUseAfterFree, kFixed, c.f.aclDestroyDataBuffer(c.buffers[0]); c.execute());
  EXPECT_BROKEN(kUseAfterFree, kFixed, c.f.aclmdlDestroyDataset(c.inputs); c.execute());
  EXPECT_BROKEN(kUseAfterFree, kFixed, c.f.aclmdlUnload(c.model_id); c.execute());
  EXPECT_BROKEN(kUseAfterFree, kFixed, c.f.aclrtDestroyStream(c.stream); c.synchronize());
  EXPECT_BROKEN(kUseAfterFree, kFixed, c.f.aclmdlDestroyDesc(c.description); c.f.aclmdlGetNumInputs(c.description));
}

TEST(StubRules, HandlesOfTheirKind) {
  EXPECT_BROKEN(kKnownHandle, kFixed, c.f.aclrtSynchronizeStream(c.context));
  EXPECT_BROKEN(kKnownHandle, kFixed, c.f.aclrtFree(c.host[0]));
  EXPECT_BROKEN(kKnownHandle, kFixed, c.f.aclmdlGetNumInputs(c.f.aclmdlCreateDesc()));
}

TEST(StubRules, HostMemoryIsNotTouchedBeforeSynchronisation) {
  EXPECT_BROKEN(kHostBeforeSync, kFixed, c.copy_in(); std::memset(c.host[0], 1, 4));
  EXPECT_BROKEN(kHostBeforeSync, kFixed, c.copy_in(); c.execute(); c.copy_out();
                std::fprintf(stderr, "%d", *static_cast<volatile char*>(c.host.back())));
}

TEST(StubRules, DeviceMemoryIsNotTouchedByTheHost) {
  EXPECT_BROKEN(kDeviceFromHost, kFixed, std::memset(c.device[0], 0, 4));
}

TEST(StubRules, GearIsSetForEveryRun) {
  EXPECT_BROKEN(kGearSet, kGears, c.copy_in(); c.execute());
  EXPECT_BROKEN(kGearSet, kGears, c.copy_in(); c.set_gear(2); c.execute(); c.synchronize(); c.copy_in(); c.execute());
  EXPECT_BROKEN(kGearSet, kGears, c.f.aclmdlSetDynamicBatchSize(c.model_id, c.inputs, 2, 2));
  EXPECT_BROKEN(kGearSet, kFixed, c.f.aclmdlSetDynamicBatchSize(c.model_id, c.inputs, 2, 2));
}

TEST(StubRules, GearIsOneOfTheModels) { EXPECT_BROKEN(kGearKnown, kGears, c.set_gear(3)); }

TEST(StubRules, EveryRowOfTheBatchIsWritten) {
  EXPECT_BROKEN(kPaddingDefined, kFixed, c.execute(); c.synchronize());
  EXPECT_BROKEN(
      kPaddingDefined, kGears,
      for (size_t i = 0; i < 3; ++i) {
        c.f.aclrtMemcpyAsync(c.device[i], c.bytes[i], c.host[i], c.bytes[i] / 4, acl::ACL_MEMCPY_HOST_TO_DEVICE,
                             c.stream);
      } c.set_gear(2);
      c.execute(); c.synchronize());
  // The rows of the run before do not count.
  EXPECT_BROKEN(kPaddingDefined, kFixed, c.copy_in(); c.execute(); c.synchronize(); c.execute(); c.synchronize());
}

TEST(StubRules, EverythingIsDestroyedAtTheEnd) {
  EXPECT_BROKEN(kDestroyedAtEnd, kFixed, c.f.aclFinalize());
  EXPECT_BROKEN(kDestroyedAtEnd, kFixed, c.close_all_but_context(); c.f.aclFinalize());
  EXPECT_BROKEN(kDestroyedAtEnd, kFixed, c.close_all_but_context(); c.f.aclrtDestroyContext(c.context);
                c.f.aclFinalize());
}

TEST(StubRules, FinalizeBeforeTheProcessEnds) { EXPECT_BROKEN(kFinalizeBeforeExit, kFixed, std::exit(0)); }

TEST(StubRules, WorkOfTwoStreamsOnOneMemoryIsOrdered) {
  // A run does not wait for its inputs.
  EXPECT_BROKEN(kWorkOrdered, kFixed, c.copy_in(c.another_stream()); c.execute());
  // An event that was recorded before the copies.
  EXPECT_BROKEN(kWorkOrdered, kFixed, const auto other = c.another_stream(); const auto event = c.record(other);
                c.copy_in(other); c.f.aclrtStreamWaitEvent(c.stream, event); c.execute());
  // The event is there, and the run does not wait for it.
  EXPECT_BROKEN(kWorkOrdered, kFixed, const auto other = c.another_stream(); c.copy_in(other); c.record(other);
                c.execute());
  // The next inputs overwrite those of a run.
  EXPECT_BROKEN(kWorkOrdered, kFixed, c.copy_in(); c.synchronize(); c.execute(); c.copy_in(c.another_stream()));
  // An answer is fetched before it is there.
  EXPECT_BROKEN(kWorkOrdered, kFixed, c.copy_in(); c.execute(); c.stream = c.another_stream(); c.copy_out());
}

TEST(StubRules, RunsInOneWorkMemoryAreOrdered) {
  EXPECT_BROKEN(kWorkOrdered, kFixed, c.copy_in(); c.execute(); c.execute_another_load(c.another_stream()));
}

TEST(StubRules, WeightsAreOfOneFile) {
  EXPECT_BROKEN(kWeightsOfOneFile, kFixed, const posefix::TemporaryFolder folder;
                c.load(write_tiny(folder.path(), TinyModel{.joints = 2}).string()));
}

TEST(StubRules, AModelsMemoryIsItsOwn) {
  EXPECT_BROKEN(kModelMemory, kFixed, c.device[0] = c.weights; c.bytes[0] = 8; c.copy_in());
  EXPECT_BROKEN(
      kModelMemory, kFixed, c.inputs = c.f.aclmdlCreateDataset(); for (size_t i = 0; i < 3; ++i) {
        c.f.aclmdlAddDatasetBuffer(c.inputs, c.f.aclCreateDataBuffer(c.work, c.bytes[i]));
      } c.execute());
  EXPECT_BROKEN(kModelMemory, kFixed, c.weights = c.work; c.weight_bytes = c.work_bytes; c.work = nullptr;
                c.load_again());
  EXPECT_BROKEN(kModelMemory, kFixed, c.f.aclmdlUnload(c.model_id); c.weights = c.work; c.weight_bytes = c.work_bytes;
                c.load_again());
}

TEST(StubRules, AModelsMemoryIsFromMallocAndLargeEnough) {
  EXPECT_BROKEN(kDevicePointer, kFixed, c.weights = c.host[0]; c.load_again());
  EXPECT_BROKEN(kSizesMatch, kFixed, c.work_bytes -= 1; c.load_again());
  EXPECT_BROKEN(kSizesMatch, kFixed, c.weight_bytes += 1; c.load_again());
  EXPECT_BROKEN(kUseAfterFree, kFixed, c.f.aclmdlUnload(c.model_id); c.f.aclrtFree(c.work); c.load_again());
}

TEST(StubRules, HostMemoryIsNotTouchedBeforeTheStreamThatWaitsIsSynchronised) {
  EXPECT_BROKEN(kHostBeforeSync, kFixed, const auto other = c.another_stream(); const auto event = c.record(other);
                c.copy_in(other); c.f.aclrtStreamWaitEvent(c.stream, event); c.synchronize();
                std::memset(c.host[0], 1, 4));
}

TEST(StubRules, EventsAreRecordedBeforeTheyAreWaitedFor) {
  EXPECT_BROKEN(kEventRecorded, kFixed, acl::aclrtEvent event = nullptr; c.f.aclrtCreateEvent(&event);
                c.f.aclrtStreamWaitEvent(c.stream, event));
}

TEST(StubRules, EventsAreRecordedOnce) {
  EXPECT_BROKEN(kEventOnce, kFixed, const auto event = c.record(c.stream); c.synchronize();
                c.f.aclrtRecordEvent(event, c.stream));
}

TEST(StubRules, EventsOfTheContext) {
  EXPECT_BROKEN(kStreamContext, kFixed, const auto event = c.record(c.stream); acl::aclrtContext other = nullptr;
                c.f.aclrtCreateContext(&other, 0); c.f.aclrtDestroyEvent(event));
  EXPECT_BROKEN(kKnownHandle, kFixed, c.f.aclrtStreamWaitEvent(c.stream, c.stream));
  EXPECT_BROKEN(kUseAfterFree, kFixed, const auto event = c.record(c.stream); c.synchronize();
                c.f.aclrtDestroyEvent(event); c.f.aclrtStreamWaitEvent(c.stream, event));
  EXPECT_BROKEN(kDestroyedAtEnd, kFixed, c.record(c.stream); c.synchronize(); c.close());
}

TEST(StubRules, NothingInUseIsFreed) {
  EXPECT_BROKEN(kDestroyIdle, kFixed, c.f.aclrtDestroyEvent(c.record(c.stream)));
  EXPECT_BROKEN(kDestroyIdle, kFixed, const auto other = c.another_stream(); const auto event = c.record(other);
                c.f.aclrtStreamWaitEvent(c.stream, event); c.f.aclrtSynchronizeStream(other);
                c.f.aclrtDestroyEvent(event));
  EXPECT_BROKEN(kDestroyIdle, kFixed, c.copy_in(); c.f.aclrtFree(c.device[0]));
  EXPECT_BROKEN(kDestroyIdle, kFixed, c.f.aclrtFree(c.work));
  EXPECT_BROKEN(kDestroyIdle, kFixed, c.load_again(); c.f.aclmdlUnload(c.model_id); c.f.aclrtFree(c.weights));
  EXPECT_BROKEN(kDestroyIdle, kFixed, c.copy_in(); c.f.aclrtFreeHost(c.host[0]));
  EXPECT_BROKEN(kDestroyIdle, kFixed, c.copy_in(); c.f.aclrtDestroyStream(c.stream));
}

// What a broken installation looks like: the library is there, its functions are not.
TEST(AscendLibrary, NamesWhatIsMissing) {
  acl::Acl functions;
  const acl::LibrarySearch broken = acl::search_folder(ASCEND_STUB_DIR "/lib_broken", functions);
  EXPECT_FALSE(broken.is_usable);
  ASSERT_EQ(broken.loaded.size(), 1U);
  EXPECT_EQ(broken.missing_symbols.front(), "aclInit");
  EXPECT_TRUE(broken.is_broken());
  EXPECT_NE(broken.problem().find("lacks aclInit, aclFinalize, aclGetRecentErrMsg, aclrtSetDevice and "),
            std::string::npos)
      << broken.problem();
  const acl::LibrarySearch absent = acl::search_folder("/nonexistent", functions);
  EXPECT_FALSE(absent.is_usable);
  EXPECT_FALSE(absent.is_broken());
  EXPECT_EQ(absent.problem(), "neither libacl_rt.so with libacl_mdl.so nor libascendcl.so in /nonexistent");
  // Here, and not to be loaded: damaged, or one of the two alone.
  const posefix::TemporaryFolder folder;
  posefix::write_file_atomically(folder.path() / "libascendcl.so", "not a library");
  const acl::LibrarySearch damaged = acl::search_folder(folder.path(), functions);
  EXPECT_TRUE(damaged.is_broken());
  EXPECT_NE(damaged.problem().find("libascendcl.so: file too short"), std::string::npos) << damaged.problem();
  const posefix::TemporaryFolder half;
  std::filesystem::create_symlink(ASCEND_STUB_DIR "/lib/libacl_rt.so", half.path() / "libacl_rt.so");
  const acl::LibrarySearch alone = acl::search_folder(half.path(), functions);
  EXPECT_TRUE(alone.is_broken());
  EXPECT_NE(alone.problem().find("there is no " + (half.path() / "libacl_mdl.so").string()), std::string::npos)
      << alone.problem();
  EXPECT_TRUE(acl::search_folder(ASCEND_STUB_DIR "/lib", functions).is_usable);
  EXPECT_TRUE(acl::search_folder(ASCEND_STUB_DIR "/lib_old", functions).is_usable);
}

}  // namespace
}  // namespace ascend_stub
