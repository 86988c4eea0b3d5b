// The C interface of AscendCL as far as this program uses it: own declarations, no vendored header.
//
// Nothing here is linked: library.h looks the functions up in the libraries of an installed CANN, and the declarations
// give the pointers their types. Values and layouts: CANN's API reference, "runtime API" and "model management".
// Non-goals: operators, DVPP, profiling.
#pragma once

#include <cstddef>
#include <cstdint>

namespace posefix::runtime::ascend {
extern "C" {

typedef int aclError;  // 0: done; 1xxxxx the caller, 2xxxxx resources, 3xxxxx busy, 5xxxxx inside
typedef void* aclrtContext;
typedef void* aclrtStream;
typedef void* aclrtEvent;
typedef struct aclmdlDesc aclmdlDesc;
typedef struct aclmdlDataset aclmdlDataset;
typedef struct aclDataBuffer aclDataBuffer;

typedef enum aclrtRunMode { ACL_DEVICE = 0, ACL_HOST = 1 } aclrtRunMode;
typedef enum aclrtMemMallocPolicy {
  ACL_MEM_MALLOC_HUGE_FIRST = 0,
  ACL_MEM_MALLOC_NORMAL_ONLY = 2
} aclrtMemMallocPolicy;
typedef enum aclrtMemcpyKind {
  ACL_MEMCPY_HOST_TO_HOST = 0,
  ACL_MEMCPY_HOST_TO_DEVICE = 1,
  ACL_MEMCPY_DEVICE_TO_HOST = 2,
  ACL_MEMCPY_DEVICE_TO_DEVICE = 3
} aclrtMemcpyKind;
typedef enum aclDataType {
  ACL_DT_UNDEFINED = -1,
  ACL_FLOAT = 0,
  ACL_FLOAT16 = 1,
  ACL_INT8 = 2,
  ACL_INT32 = 3,
  ACL_UINT8 = 4,
  ACL_INT64 = 9
} aclDataType;

typedef struct aclmdlIODims {
  char name[128];
  size_t dimCount;
  int64_t dims[128];
} aclmdlIODims;

typedef struct aclmdlBatch {
  size_t batchCount;
  uint64_t batch[128];
} aclmdlBatch;

aclError aclInit(const char* config_path);
aclError aclFinalize();
const char* aclGetRecentErrMsg();  // reads and clears; per thread; may be null

aclError aclrtSetDevice(int32_t device);
aclError aclrtResetDevice(int32_t device);
aclError aclrtGetDeviceCount(uint32_t* count);
const char* aclrtGetSocName();  // may be null
aclError aclrtCreateContext(aclrtContext* context, int32_t device);
aclError aclrtDestroyContext(aclrtContext context);
aclError aclrtSetCurrentContext(aclrtContext context);
aclError aclrtGetRunMode(aclrtRunMode* mode);
aclError aclrtCreateStream(aclrtStream* stream);
aclError aclrtDestroyStream(aclrtStream stream);
aclError aclrtSynchronizeStream(aclrtStream stream);
aclError aclrtSynchronizeStreamWithTimeout(aclrtStream stream, int32_t timeout_ms);

aclError aclrtCreateEvent(aclrtEvent* event);  // to be recorded once
aclError aclrtDestroyEvent(aclrtEvent event);
aclError aclrtRecordEvent(aclrtEvent event, aclrtStream stream);
aclError aclrtStreamWaitEvent(aclrtStream stream, aclrtEvent event);

aclError aclrtMalloc(void** device, size_t bytes, aclrtMemMallocPolicy policy);
aclError aclrtFree(void* device);
aclError aclrtMallocHost(void** host, size_t bytes);
aclError aclrtFreeHost(void* host);
aclError aclrtMemcpyAsync(void* to, size_t to_bytes, const void* from, size_t bytes, aclrtMemcpyKind kind,
                          aclrtStream stream);

aclError aclmdlQuerySize(const char* path, size_t* work_bytes, size_t* weight_bytes);
// Null pointers: the driver takes the memory itself.
aclError aclmdlLoadFromFileWithMem(const char* path, uint32_t* model, void* work, size_t work_bytes, void* weights,
                                   size_t weight_bytes);
aclError aclmdlUnload(uint32_t model);
aclmdlDesc* aclmdlCreateDesc();
aclError aclmdlDestroyDesc(aclmdlDesc* description);
aclError aclmdlGetDesc(aclmdlDesc* description, uint32_t model);
size_t aclmdlGetNumInputs(aclmdlDesc* description);
size_t aclmdlGetNumOutputs(aclmdlDesc* description);
size_t aclmdlGetInputSizeByIndex(aclmdlDesc* description, size_t index);
size_t aclmdlGetOutputSizeByIndex(aclmdlDesc* description, size_t index);
aclError aclmdlGetInputDims(const aclmdlDesc* description, size_t index, aclmdlIODims* dims);
aclError aclmdlGetOutputDims(const aclmdlDesc* description, size_t index, aclmdlIODims* dims);
const char* aclmdlGetInputNameByIndex(const aclmdlDesc* description, size_t index);
const char* aclmdlGetOutputNameByIndex(const aclmdlDesc* description, size_t index);
aclDataType aclmdlGetInputDataType(const aclmdlDesc* description, size_t index);
aclDataType aclmdlGetOutputDataType(const aclmdlDesc* description, size_t index);
aclError aclmdlGetInputIndexByName(const aclmdlDesc* description, const char* name, size_t* index);
aclError aclmdlGetDynamicBatch(const aclmdlDesc* description, aclmdlBatch* batch);

aclmdlDataset* aclmdlCreateDataset();
aclError aclmdlDestroyDataset(const aclmdlDataset* dataset);
aclError aclmdlAddDatasetBuffer(aclmdlDataset* dataset, aclDataBuffer* buffer);
aclDataBuffer* aclCreateDataBuffer(void* device, size_t bytes);
aclError aclDestroyDataBuffer(const aclDataBuffer* buffer);
aclError aclmdlExecuteAsync(uint32_t model, const aclmdlDataset* inputs, aclmdlDataset* outputs, aclrtStream stream);
aclError aclmdlSetDynamicBatchSize(uint32_t model, aclmdlDataset* inputs, size_t index, uint64_t batch);

}  // extern "C"

static_assert(sizeof(aclmdlIODims) == 1160 && offsetof(aclmdlIODims, dimCount) == 128 &&
              offsetof(aclmdlIODims, dims) == 136);
static_assert(sizeof(aclmdlBatch) == 1032 && offsetof(aclmdlBatch, batch) == 8);
static_assert(sizeof(aclrtRunMode) == sizeof(int) && sizeof(aclDataType) == sizeof(int) &&
              sizeof(aclrtMemcpyKind) == sizeof(int) && sizeof(aclrtMemMallocPolicy) == sizeof(int));

inline constexpr const char* kDynamicBatchInput = "ascend_mbatch_shape_data";  // extra input of a model with gears

inline constexpr aclError kAclSuccess = 0;
inline constexpr aclError kAclRepeatInitialize = 100002;
inline constexpr aclError kAclFeatureNotSupported = 207000;
inline constexpr aclError kAclMemoryAllocation = 207001;
inline constexpr aclError kAclLostHeartbeat = 507010;
inline constexpr aclError kAclModelExecute = 507011;
inline constexpr aclError kAclStreamTimeout = 507046;

// X(function): those that every CANN exports and this program needs, and those that only newer ones have.
// (clang-format would indent every line further than the last.)
// clang-format off
#define POSEFIX_ACL_REQUIRED(X) \
  X(aclInit) X(aclFinalize) X(aclGetRecentErrMsg) \
  X(aclrtSetDevice) X(aclrtResetDevice) X(aclrtGetDeviceCount) \
  X(aclrtCreateContext) X(aclrtDestroyContext) X(aclrtSetCurrentContext) \
  X(aclrtGetRunMode) X(aclrtCreateStream) X(aclrtDestroyStream) \
  X(aclrtSynchronizeStream) X(aclrtCreateEvent) X(aclrtDestroyEvent) \
  X(aclrtRecordEvent) X(aclrtStreamWaitEvent) X(aclrtMalloc) X(aclrtFree) \
  X(aclrtMallocHost) X(aclrtFreeHost) X(aclrtMemcpyAsync) \
  X(aclmdlQuerySize) X(aclmdlLoadFromFileWithMem) X(aclmdlUnload) X(aclmdlCreateDesc) \
  X(aclmdlDestroyDesc) X(aclmdlGetDesc) X(aclmdlGetNumInputs) \
  X(aclmdlGetNumOutputs) X(aclmdlGetInputSizeByIndex) X(aclmdlGetOutputSizeByIndex) \
  X(aclmdlGetInputDims) X(aclmdlGetOutputDims) X(aclmdlGetInputNameByIndex) \
  X(aclmdlGetOutputNameByIndex) X(aclmdlGetInputDataType) X(aclmdlGetOutputDataType) \
  X(aclmdlGetInputIndexByName) X(aclmdlGetDynamicBatch) X(aclmdlCreateDataset) \
  X(aclmdlDestroyDataset) X(aclmdlAddDatasetBuffer) X(aclCreateDataBuffer) \
  X(aclDestroyDataBuffer) X(aclmdlExecuteAsync) X(aclmdlSetDynamicBatchSize)
// clang-format on
#define POSEFIX_ACL_OPTIONAL(X) X(aclrtGetSocName) X(aclrtSynchronizeStreamWithTimeout)

}  // namespace posefix::runtime::ascend
