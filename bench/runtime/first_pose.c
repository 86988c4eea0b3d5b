/* first_pose MODEL.plan BATCH THREADS: opens the model, runs it three times on grey crops, prints "first" after the
 * first run and at the end the peak resident memory in KiB. run.py takes the time from the start of the process. */
#include <posefix/posefix.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

int main(int argc, char** argv) {
  if (argc != 4) return 2;
  posefix_options options;
  memset(&options, 0, sizeof options);
  options.max_batch = atoi(argv[2]);
  options.threads = atoi(argv[3]);
  posefix_session* session = NULL;
  posefix_info info;
  if (posefix_open(argv[1], &options, &session) != POSEFIX_OK || posefix_get_info(session, &info) != POSEFIX_OK) {
    fprintf(stderr, "%s\n", posefix_error());
    return 1;
  }
  const size_t persons = (size_t)options.max_batch;
  const size_t joints = persons * (size_t)info.joints;
  const size_t bytes = persons * (size_t)info.height * (size_t)info.width * 3;
  unsigned char* crops = malloc(bytes);
  float* pose = malloc(joints * 2 * sizeof *pose);
  float* valid = malloc(joints * sizeof *valid);
  float* coords = malloc(joints * 2 * sizeof *coords);
  if (crops == NULL || pose == NULL || valid == NULL || coords == NULL) return 1;
  memset(crops, 128, bytes);
  for (size_t i = 0; i < joints; ++i) {
    pose[2 * i] = (float)(5 + 7 * i % (size_t)info.width);
    pose[2 * i + 1] = (float)(9 + 11 * i % (size_t)info.height);
    valid[i] = 1;
  }
  for (int run = 0; run < 3; ++run) {
    if (posefix_run(session, options.max_batch, crops, pose, valid, coords, NULL) != POSEFIX_OK) {
      fprintf(stderr, "%s\n", posefix_error());
      return 1;
    }
    if (run == 0) {
      puts("first");
      fflush(stdout);
    }
  }
  struct rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  printf("%ld\n", usage.ru_maxrss);
  free(coords);
  free(valid);
  free(pose);
  free(crops);
  posefix_close(session);
  return 0;
}
