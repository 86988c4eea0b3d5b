// Which of a job's processes this one is, from the environment of whatever started it: torchrun (and Kubernetes'
// PyTorchJob), Open MPI, MPICH and others that speak PMI, Slurm.
//
// Invariant: a pure function of the environment. Launchers nest, and the inner one counts: torchrun, then mpirun or
// mpiexec, then srun (whose variables its children inherit). Two of the first kinds that contradict each other are an
// error, since one of them is then a leftover that would give two processes one rank.
// Non-goals: connecting (collective.h), starting processes (cli/local_processes.h).
#pragma once

#include <cstdint>
#include <map>
#include <string>

namespace posefix::train {

using Environment = std::map<std::string, std::string>;

struct Place {
  int64_t rank = 0;         // in [0, world)
  int64_t world = 1;        // processes of the job
  int64_t local_rank = 0;   // among those of this machine: the number of its device
  int64_t local_world = 1;  // processes on this machine
  std::string address;      // of rank 0's machine; "" when world is 1 and nobody said
  int64_t port = 0;         // where rank 0 waits for the others
  std::string source = "alone";
};

// Error (bad input) for a value that is no number or out of range, a half that is missing, or launchers that
// contradict each other; the message names the variables.
Place place_in_job(const Environment& environment);

// The first host of a Slurm list: "node[003-007,9],login1" -> "node003".
std::string first_slurm_host(const std::string& list);

// This process's environment.
Environment process_environment();

}  // namespace posefix::train
