// The rules of AscendCL that the stub enforces. Breaking one ends the process with its name on stderr:
//   ascend_stub: rule 'sizes_match' broken: ...
#pragma once

#include <string>

namespace ascend_stub {

inline constexpr const char* kInitOnce = "init_once";                  // aclInit while it is initialised
inline constexpr const char* kInitFirst = "init_first";                // a call before aclInit or after aclFinalize
inline constexpr const char* kDeviceSet = "device_set";                // a context on a device that was not set
inline constexpr const char* kContextCurrent = "context_current";      // a call from a thread without a context
inline constexpr const char* kStreamContext = "stream_context";        // a stream or event of another context
inline constexpr const char* kModelContext = "model_context";          // a model loaded in another context
inline constexpr const char* kModelConcurrency = "model_concurrency";  // a model queued on two streams at once
inline constexpr const char* kModelBusy = "model_busy";                // unloading a model with queued runs
inline constexpr const char* kSizesMatch = "sizes_match";              // data set and description differ
inline constexpr const char* kDevicePointer = "device_pointer";        // memory that is not from aclrtMalloc
inline constexpr const char* kPinnedPointer = "pinned_pointer";        // async copy of memory not from aclrtMallocHost
inline constexpr const char* kCopyBounds = "copy_bounds";              // a copy beyond its buffers
inline constexpr const char* kRunModeCopy = "run_mode_copy";           // host copies in device run mode
inline constexpr const char* kUseAfterFree = "use_after_free";         // memory or a handle that was given back
inline constexpr const char* kKnownHandle = "known_handle";            // a handle of another kind, or none
inline constexpr const char* kHostBeforeSync = "host_memory_before_sync";  // touched before the stream was synchronised
inline constexpr const char* kDeviceFromHost = "device_memory_from_host";  // dereferenced in host run mode
inline constexpr const char* kGearSet = "gear_set";                        // a run without aclmdlSetDynamicBatchSize
inline constexpr const char* kGearKnown = "gear_known";                    // a batch that is not a gear
inline constexpr const char* kPaddingDefined = "padding_defined";          // rows of the batch that nobody wrote
inline constexpr const char* kDestroyedAtEnd = "destroyed_at_end";         // something alive at aclFinalize
inline constexpr const char* kFinalizeBeforeExit = "finalize_before_exit";
inline constexpr const char* kWorkOrdered = "work_ordered";       // two streams on one memory, no event between
inline constexpr const char* kEventRecorded = "event_recorded";   // waiting for an event that is not recorded
inline constexpr const char* kEventOnce = "event_recorded_once";  // recorded again: it cannot be reset
inline constexpr const char* kDestroyIdle = "destroy_idle";       // freeing what queued work or a model still uses
inline constexpr const char* kModelMemory = "model_memory";       // a model's own memory is used for something else
inline constexpr const char* kWeightsOfOneFile = "weights_of_one_file";  // shared by models of different files

[[noreturn]] void break_rule(const char* rule, const std::string& detail);

}  // namespace ascend_stub
