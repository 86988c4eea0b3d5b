#include "runtime/backends/ascend/errors.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace posefix::runtime::ascend {
namespace {

struct Meaning {
  aclError code;
  std::string_view words;
};

// Several codes mean the same to a user.
constexpr std::string_view kMemory = "the device has not enough memory; use a smaller --batch or another device";
constexpr std::string_view kUnsupported =
    "this device or this CANN does not support the call; install a newer CANN and driver";
constexpr std::string_view kDriver =
    "the driver failed; is its version the one that this CANN needs? see npu-smi info and dmesg";
constexpr std::string_view kCore =
    "a core of the device raised an exception; see ~/ascend/log. Run again (--on-error retry), and if it fails always, "
    "compile the model again for this chip and CANN";
constexpr std::string_view kBrokenMemory =
    "the device's memory is faulty; see npu-smi info and dmesg, reset the device";
constexpr std::string_view kPartition = "the model file is damaged or of another CANN version; compile it again";

// CANN's API reference, aclError; ge_error_codes and rt_error_codes of its runtime.
constexpr std::array kMeanings{
    Meaning{100000,
            "an argument was refused; the model and this program's CANN may be of different versions: compile the "
            "model again"},
    Meaning{100001, "AscendCL was not initialised; a fault of posefix: report it with this message"},
    Meaning{100003, "a file is missing or may not be read; check its name and permissions"},
    Meaning{100012, "the model could not be deserialised: it was compiled by another CANN version; compile it again"},
    Meaning{100013, "the model could not be parsed: it was compiled by another CANN version; compile it again"},
    Meaning{100014, "the model file could not be read; check that it is there, whole, and may be read"},
    Meaning{100015, "the model file's size is wrong; copy it again or compile it again"},
    Meaning{100016, "the model lacks attributes: it was compiled by another CANN version; compile it again"},
    Meaning{100017, "the inputs are not those of the model; a fault of posefix: report it with this message"},
    Meaning{100018, "the outputs are not those of the model; a fault of posefix: report it with this message"},
    Meaning{100039,
            "the library is the stub that programs are linked with; source the set_env.sh of CANN's toolkit or nnrt"},
    Meaning{
        107000,
        "an argument was refused by the runtime; the driver and this CANN may be of different versions (npu-smi info)"},
    Meaning{107001, "there is no such device; npu-smi info lists them, --device npu:N chooses one"},
    Meaning{107002, "no context on this thread; a fault of posefix: report it with this message"},
    Meaning{107003, "the stream belongs to another context; a fault of posefix: report it with this message"},
    Meaning{107004, "the model belongs to another context; a fault of posefix: report it with this message"},
    Meaning{107020, "a task on the device took too long; is it busy or stuck? see npu-smi info"},
    Meaning{107022,
            "another program or the driver stopped the device's tasks; run again (--on-error retry does so by itself)"},
    Meaning{107023, "the device's queue was stopped after an error; run again (--on-error retry does so by itself)"},
    Meaning{145000, "an argument was refused by the graph engine; compile the model again with this machine's CANN"},
    Meaning{145001, "the graph engine was not initialised; a fault of posefix: report it with this message"},
    Meaning{145002, "the model's path is not valid; check that the file is there and may be read"},
    Meaning{145003, "the model id is not valid; a fault of posefix: report it with this message"},
    Meaning{145006, "the model file's size is wrong; copy it again or compile it again"},
    Meaning{145011,
            "the address of the input that chooses the batch is not valid; a fault of posefix: report it with this "
            "message"},
    Meaning{
        145012,
        "the size of the input that chooses the batch is not valid; compile the model again with this machine's CANN"},
    Meaning{145013, "the batch is none that the model was compiled for; compile it again with that --batch"},
    Meaning{145015, "the model was compiled without AIPP; compile it again with --aipp"},
    Meaning{145020, "a tensor's format is not the model's; compile it again with this machine's CANN"},
    Meaning{145021, "a tensor's shape is not the model's; compile it again with this machine's CANN"},
    Meaning{145022, "a tensor's type is not the model's; compile it again with this machine's CANN"},
    Meaning{148049, "CANN's operators were not found; source CANN's set_env.sh, which sets $ASCEND_OPP_PATH"},
    Meaning{200000, kMemory},
    Meaning{200001, kUnsupported},
    Meaning{200006, kUnsupported},
    Meaning{207000, kUnsupported},
    Meaning{207001, kMemory},
    Meaning{207002, "the device's memory could not be given back; see ~/ascend/log"},
    Meaning{207003, "a number overflowed on the device; compile the model again with --precision mixed or f32"},
    Meaning{
        207004,
        "the device is not available; see npu-smi info (its health, and whether another program or container owns it)"},
    Meaning{207005, kMemory},
    Meaning{207006, "the user may not use the device; add the user to the group HwHiAiUser or run as its owner"},
    Meaning{207007, "the device has no event left; end other programs that use it"},
    Meaning{207008, "the device has no stream left; end other programs that use it"},
    Meaning{207010, "the device has no room for another model; end other programs that use it"},
    Meaning{207018, kMemory},
    Meaning{245000, kMemory},
    Meaning{300000, "the device's storage is full; see npu-smi info"},
    Meaning{500000, "an unknown error inside AscendCL; see ~/ascend/log"},
    Meaning{500001, "an error inside AscendCL; see ~/ascend/log"},
    Meaning{500002,
            "the graph engine failed; when the model is loaded, it is mostly of another chip or CANN version: compile "
            "it again here. See ~/ascend/log"},
    Meaning{500003, "the runtime failed; see ~/ascend/log and npu-smi info"},
    Meaning{500004, kDriver},
    Meaning{507000, "the runtime failed; see ~/ascend/log and npu-smi info"},
    Meaning{507001, "the device's task scheduler failed; see ~/ascend/log and npu-smi info, reset the device"},
    Meaning{507008,
            "the chip's name could not be read; are driver and CANN of versions that go together? see npu-smi info"},
    Meaning{507009, "the chip does not know this kind of task; install the driver that this CANN needs"},
    Meaning{507010, "the device no longer answers (lost heartbeat); see npu-smi info and dmesg, reset the device"},
    Meaning{507011,
            "the model's execution failed on the device; see ~/ascend/log. Run again (--on-error retry), and if it "
            "fails always, compile the model again for this chip and CANN"},
    Meaning{507012, "the device's task scheduler gave no answer; see ~/ascend/log and npu-smi info, reset the device"},
    Meaning{507013, "the device's DMA failed; see npu-smi info and dmesg, reset the device"},
    Meaning{507014, "an AI core took too long; is the device busy with other work? see npu-smi info and ~/ascend/log"},
    Meaning{507015, kCore},
    Meaning{507016, kCore},
    Meaning{507017, "an AI CPU took too long; is the device busy with other work? see npu-smi info and ~/ascend/log"},
    Meaning{507018,
            "an AI CPU raised an exception (an operator without an AI core kernel failed); see ~/ascend/log, and "
            "compile the model again with this machine's CANN"},
    Meaning{507033, "the device could not be started; see npu-smi info and dmesg"},
    Meaning{507034,
            "a vector core took too long; is the device busy with other work? see npu-smi info and ~/ascend/log"},
    Meaning{507035, kCore},
    Meaning{507036, kCore},
    Meaning{507046,
            "the device did not finish in time; is it busy with other work or stuck (npu-smi info)? "
            "$POSEFIX_ASCEND_TIMEOUT_MS sets the limit"},
    Meaning{507053, kBrokenMemory},
    Meaning{507054, kBrokenMemory},
    Meaning{507055, kBrokenMemory},
    Meaning{507899, kDriver},
    Meaning{507900, "the AI CPU's program failed; see ~/ascend/log, reset the device"},
    Meaning{507901, "the connection to the device was closed; see npu-smi info and dmesg, reset the device"},
    Meaning{545000, "the graph engine failed; see ~/ascend/log"},
    Meaning{545001,
            "the model could not be loaded: it is mostly of another chip or CANN version; compile it again here"},
    Meaning{545002, kPartition},
    Meaning{545003, kPartition},
    Meaning{545004, kPartition},
    Meaning{545005, kPartition},
};

}  // namespace

std::string_view explain(aclError code) {
  const auto* found =
      std::find_if(kMeanings.begin(), kMeanings.end(), [&](const Meaning& meaning) { return meaning.code == code; });
  if (found != kMeanings.end()) return found->words;
  switch (code / 100000) {
    case 1:
      return "a call or the environment is wrong; see ~/ascend/log, and whether CANN and the model are of one version";
    case 2:
      return "a resource is short or not supported by this device; see npu-smi info for what else uses it";
    case 3:
      return "the device is busy; see npu-smi info for what else uses it";
    default:
      return "an error inside AscendCL or the device; see ~/ascend/log";
  }
}

AclFailure acl_error(const Acl& acl, std::string_view call, aclError code) {
  const char* driver = acl.aclGetRecentErrMsg();
  std::string text = fmt::format("Ascend: {} failed with {}: {}", call, code, explain(code));
  if (driver != nullptr && *driver != '\0') text += fmt::format("; the driver says: {}", driver);
  return {code, text};
}

bool is_device_lost(aclError code) { return code == kAclLostHeartbeat || code == kAclStreamTimeout || code == 507901; }

}  // namespace posefix::runtime::ascend
