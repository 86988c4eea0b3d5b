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

// CANN's API reference, aclError; rt_error_codes of the runtime API.
constexpr std::array kMeanings{
    Meaning{100000, "an argument was refused; the model and this program's CANN may be of different versions"},
    Meaning{100001, "AscendCL was not initialised"},
    Meaning{100003, "a file is missing or may not be read"},
    Meaning{100012, "the model could not be deserialised: it was compiled by another CANN version; compile it again"},
    Meaning{100013, "the model could not be parsed: it was compiled by another CANN version; compile it again"},
    Meaning{100014, "the model file could not be read"},
    Meaning{100039, "this CANN does not support the call; install a newer one"},
    Meaning{107001, "there is no such device; npu-smi info lists them, --device npu:N chooses one"},
    Meaning{107002, "no context on this thread"},
    Meaning{107003, "the stream belongs to another context"},
    Meaning{145000, "an argument of the graph engine was refused"},
    Meaning{145003, "the model id is not valid"},
    Meaning{145011, "the model's format is damaged or of another CANN version; compile it again"},
    Meaning{200000, "the device has not enough memory; use a smaller --batch or another device"},
    Meaning{207000, "this device does not support the call"},
    Meaning{207001, "the device has not enough memory; use a smaller --batch or another device"},
    Meaning{207004, "the user may not use the device; add the user to the group HwHiAiUser or run as its owner"},
    Meaning{207018, "the device has not enough memory; use a smaller --batch or another device"},
    Meaning{500000, "an unknown error inside AscendCL; see ~/ascend/log"},
    Meaning{507008, "the SOC's version could not be read"},
    Meaning{507010, "the device no longer answers (lost heartbeat); see npu-smi info and dmesg, reset the device"},
    Meaning{507011, "the model's execution failed on the device; see ~/ascend/log"},
    Meaning{507014, "an AI core timed out; see ~/ascend/log"},
    Meaning{507015, "an AI core raised an exception; see ~/ascend/log"},
    Meaning{507018, "an AI CPU raised an exception; see ~/ascend/log"},
    Meaning{507033, "the device could not be started; see npu-smi info and dmesg"},
    Meaning{507046, "the device did not finish in time"},
    Meaning{507899, "the driver failed; is its version the one that this CANN needs? see npu-smi info"},
    Meaning{507901, "the connection to the device was closed; see npu-smi info and dmesg"},
};

}  // namespace

std::string_view explain(aclError code) {
  const auto* found =
      std::find_if(kMeanings.begin(), kMeanings.end(), [&](const Meaning& meaning) { return meaning.code == code; });
  if (found != kMeanings.end()) return found->words;
  switch (code / 100000) {
    case 1:
      return "a call or the environment is wrong";
    case 2:
      return "a resource is short or not supported by this device";
    case 3:
      return "the device is busy";
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
