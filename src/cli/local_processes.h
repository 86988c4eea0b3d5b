// N processes of this program on this machine, for verbs that work together (posefix train --procs N).
//
// Each is the same command with torchrun's variables in its environment. Rank 0 has this terminal; what the others
// print comes with "[rank 1] " before each line. SIGINT and SIGTERM are passed on once; a second one ends everything.
// When a process fails, the others have kGrace to end by themselves, then they are killed; killing this program kills
// them all.
#pragma once

#include <chrono>
#include <cstdint>

namespace posefix::cli {

// How long a process takes at most to see that another is gone (train/roll_call.h) and end, with time to spare.
inline constexpr std::chrono::seconds kGrace{15};

// Whether this process is one of them.
bool is_local_process();

// Returns when all have ended well. Error (interrupted), or Error (failed) that names the rank and how it ended; Error
// (bad input) when that was the rank's own answer, or when this process was itself started by a launcher.
void run_local_processes(int64_t count);

}  // namespace posefix::cli
