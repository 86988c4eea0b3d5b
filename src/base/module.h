// Shared objects of this program that are loaded only when asked for.
#pragma once

#include <string>

namespace posefix {

// The address of `symbol` in shared object `library` ("libposefix_train.so"), which is looked for beside the program,
// in ../lib of it, then wherever the loader looks. The object stays loaded. Error (bad input) lists what was tried and
// ends with `hint`.
void* load_from_module(const std::string& library, const std::string& symbol, const std::string& hint);

}  // namespace posefix
