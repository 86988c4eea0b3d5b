#include "train/launch_environment.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"

namespace posefix::train {
namespace {

using testing::HasSubstr;

std::string error_of(const Environment& environment) {
  try {
    place_in_job(environment);
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kBadInput);
    return error.what();
  }
  ADD_FAILURE() << "expected an Error";
  return "";
}

TEST(LaunchEnvironment, AloneWithoutALauncher) {
  const Place place = place_in_job({{"PATH", "/bin"}, {"MASTER_ADDR", "left.over"}});
  EXPECT_EQ(place.rank, 0);
  EXPECT_EQ(place.world, 1);
  EXPECT_EQ(place.local_rank, 0);
  EXPECT_EQ(place.local_world, 1);
  EXPECT_EQ(place.source, "alone");
}

TEST(LaunchEnvironment, Torchrun) {
  Environment environment{{"RANK", "5"},           {"WORLD_SIZE", "8"},
                          {"LOCAL_RANK", "1"},     {"LOCAL_WORLD_SIZE", "4"},
                          {"MASTER_ADDR", "head"}, {"MASTER_PORT", "29500"}};
  Place place = place_in_job(environment);
  EXPECT_EQ(place.rank, 5);
  EXPECT_EQ(place.world, 8);
  EXPECT_EQ(place.local_rank, 1);
  EXPECT_EQ(place.local_world, 4);
  EXPECT_EQ(place.address, "head");
  EXPECT_EQ(place.port, 29500);
  environment["TORCHELASTIC_USE_AGENT_STORE"] = "True";  // its agent listens at 29500
  EXPECT_EQ(place_in_job(environment).port, 29501);
}

TEST(LaunchEnvironment, AKubernetesJobHasNoLocalRank) {
  const Place place =
      place_in_job({{"RANK", "2"}, {"WORLD_SIZE", "3"}, {"MASTER_ADDR", "job-master-0"}, {"MASTER_PORT", "23456"}});
  EXPECT_EQ(place.rank, 2);
  EXPECT_EQ(place.local_rank, 0);
  EXPECT_EQ(place.local_world, 1);
}

TEST(LaunchEnvironment, Slurm) {
  const Environment environment{{"SLURM_PROCID", "6"},
                                {"SLURM_LOCALID", "2"},
                                {"SLURM_NTASKS", "16"},
                                {"SLURM_STEP_NUM_TASKS", "8"},
                                {"SLURM_STEP_TASKS_PER_NODE", "4(x2)"},
                                {"SLURM_NODELIST", "gpu[012-013,20]"},
                                {"SLURM_JOB_ID", "1230042"}};
  const Place place = place_in_job(environment);
  EXPECT_EQ(place.rank, 6);
  EXPECT_EQ(place.world, 8);
  EXPECT_EQ(place.local_rank, 2);
  EXPECT_EQ(place.local_world, 4);
  EXPECT_EQ(place.address, "gpu012");
  EXPECT_EQ(place.port, 29442);
}

TEST(LaunchEnvironment, FirstSlurmHost) {
  EXPECT_EQ(first_slurm_host("n1"), "n1");
  EXPECT_EQ(first_slurm_host("n1,n[2-3]"), "n1");
  EXPECT_EQ(first_slurm_host("n[007]"), "n007");
  EXPECT_EQ(first_slurm_host("n[3,5-9],m1"), "n3");
  EXPECT_EQ(first_slurm_host("rack[1-2]-blade,x"), "rack1-blade");
  EXPECT_THROW(first_slurm_host("n[3"), Error);
}

TEST(LaunchEnvironment, OpenMpiOnOneMachineNeedsNoAddress) {
  Environment environment{{"OMPI_COMM_WORLD_RANK", "1"},
                          {"OMPI_COMM_WORLD_SIZE", "2"},
                          {"OMPI_COMM_WORLD_LOCAL_RANK", "1"},
                          {"OMPI_COMM_WORLD_LOCAL_SIZE", "2"}};
  EXPECT_EQ(place_in_job(environment).address, "127.0.0.1");
  environment["OMPI_COMM_WORLD_SIZE"] = "4";
  EXPECT_THAT(error_of(environment), HasSubstr("MASTER_ADDR"));
  environment["MASTER_ADDR"] = "a";
  const Place place = place_in_job(environment);
  EXPECT_EQ(place.world, 4);
  EXPECT_EQ(place.address, "a");
  EXPECT_EQ(place.port, 29400);
}

TEST(LaunchEnvironment, Mpich) {
  const Place place =
      place_in_job({{"PMI_RANK", "3"}, {"PMI_SIZE", "4"}, {"MPI_LOCALRANKID", "3"}, {"MPI_LOCALNRANKS", "4"}});
  EXPECT_EQ(place.rank, 3);
  EXPECT_EQ(place.world, 4);
  EXPECT_EQ(place.local_rank, 3);
  EXPECT_EQ(place.local_world, 4);
  EXPECT_EQ(place.source, "PMI");
}

TEST(LaunchEnvironment, TheInnerLauncherCounts) {
  // mpirun in a Slurm allocation: srun started its daemon, one a machine.
  const Environment mpirun_in_slurm{{"SLURM_PROCID", "0"},
                                    {"SLURM_NTASKS", "2"},
                                    {"OMPI_COMM_WORLD_RANK", "3"},
                                    {"OMPI_COMM_WORLD_SIZE", "4"},
                                    {"SLURM_NODELIST", "n[1-2]"}};
  EXPECT_EQ(place_in_job(mpirun_in_slurm).rank, 3);
  const Environment torchrun_in_mpirun{{"TORCHELASTIC_RUN_ID", "x"}, {"RANK", "7"},
                                       {"WORLD_SIZE", "8"},          {"MASTER_ADDR", "a"},
                                       {"MASTER_PORT", "1"},         {"OMPI_COMM_WORLD_RANK", "1"},
                                       {"OMPI_COMM_WORLD_SIZE", "2"}};
  EXPECT_EQ(place_in_job(torchrun_in_mpirun).rank, 7);
}

TEST(LaunchEnvironment, ContradictionsAreErrors) {
  // A shell with RANK=0 exported, then mpirun: every process would be rank 0.
  const Environment left_over{{"RANK", "0"},        {"WORLD_SIZE", "2"},           {"MASTER_ADDR", "a"},
                              {"MASTER_PORT", "1"}, {"OMPI_COMM_WORLD_RANK", "1"}, {"OMPI_COMM_WORLD_SIZE", "2"}};
  EXPECT_THAT(error_of(left_over), HasSubstr("torchrun says rank 0 of 2, Open MPI says rank 1 of 2"));
}

TEST(LaunchEnvironment, MissingAndWrongValuesAreErrors) {
  EXPECT_THAT(error_of({{"RANK", "0"}}), HasSubstr("RANK is set but WORLD_SIZE is not"));
  EXPECT_THAT(error_of({{"WORLD_SIZE", "2"}}), HasSubstr("RANK is not"));
  EXPECT_THAT(error_of({{"RANK", "2"}, {"WORLD_SIZE", "2"}}), HasSubstr("RANK=2 is not below WORLD_SIZE=2"));
  EXPECT_THAT(error_of({{"RANK", "x"}, {"WORLD_SIZE", "2"}}), HasSubstr("RANK=x: expected a number"));
  EXPECT_THAT(error_of({{"RANK", "0"}, {"WORLD_SIZE", "0"}}), HasSubstr("WORLD_SIZE=0: expected a number from 1"));
  EXPECT_THAT(error_of({{"RANK", "1"}, {"WORLD_SIZE", "2"}}), HasSubstr("MASTER_ADDR"));
  EXPECT_THAT(error_of({{"RANK", "1"}, {"WORLD_SIZE", "2"}, {"MASTER_ADDR", "a"}}), HasSubstr("MASTER_PORT"));
  EXPECT_THAT(error_of({{"RANK", "1"}, {"WORLD_SIZE", "2"}, {"MASTER_ADDR", "a"}, {"MASTER_PORT", "70000"}}),
              HasSubstr("MASTER_PORT=70000"));
  EXPECT_THAT(error_of({{"SLURM_PROCID", "1"}}), HasSubstr("SLURM_NTASKS"));
}

}  // namespace
}  // namespace posefix::train
