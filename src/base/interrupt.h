// Orderly end on SIGINT and SIGTERM: a handler sets a flag, long loops ask for it between units of work.
#pragma once

namespace posefix {

// Installs the handlers (main() calls it once). A signal a second or more after the first ends the process at once;
// sooner it is taken for part of the first, so that SIGINT and SIGTERM together still end in order.
void catch_interrupts();
bool interrupted();
// Throws Error(kInterrupted) if a signal came.
void throw_if_interrupted();

}  // namespace posefix
