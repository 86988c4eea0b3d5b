// Orderly end on SIGINT and SIGTERM: a handler sets a flag, long loops ask for it between units of work.
#pragma once

namespace posefix {

// Installs the handlers (main() calls it once). A second signal ends the process at once.
void catch_interrupts();
bool interrupted();
// Throws Error(kInterrupted) if a signal came.
void throw_if_interrupted();

}  // namespace posefix
