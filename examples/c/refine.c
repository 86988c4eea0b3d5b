/* refine MODEL.plan: opens an offline model and runs it on one person in a grey picture.
 * Build: cc refine.c $(pkg-config --cflags --libs posefix) -o refine */
#include <posefix/posefix.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int fail(const char* what) {
  fprintf(stderr, "%s: %s\n", what, posefix_error());
  return EXIT_FAILURE;
}

int main(int argc, char** argv) {
  if (argc != 2) {
    fprintf(stderr, "usage: %s MODEL.plan\n", argv[0]);
    return 2;
  }
  posefix_options options;
  memset(&options, 0, sizeof options);
  options.max_batch = 2; /* one person, twice for the flip test */
  posefix_session* session = NULL;
  if (posefix_open(argv[1], &options, &session) != POSEFIX_OK) return fail("cannot open the model");
  posefix_info info;
  if (posefix_get_info(session, &info) != POSEFIX_OK) return fail("no information");
  printf("%dx%d crops, %d joints, %s on %s\n", info.height, info.width, info.joints, info.precision, info.backend);

  /* A real program decodes a photograph and asks an estimator for the pose. */
  const int width = 320;
  const int height = 240;
  unsigned char* bgr = malloc((size_t)width * (size_t)height * 3);
  double* keypoints = malloc((size_t)info.joints * 3 * sizeof *keypoints);
  double* refined = malloc((size_t)info.joints * 2 * sizeof *refined);
  if (bgr == NULL || keypoints == NULL || refined == NULL) return EXIT_FAILURE;
  memset(bgr, 128, (size_t)width * (size_t)height * 3);
  for (int k = 0; k < info.joints; ++k) {
    keypoints[k * 3] = 100 + 5 * k;
    keypoints[k * 3 + 1] = 60 + 7 * k;
    keypoints[k * 3 + 2] = 0.9;
  }
  if (posefix_refine(session, bgr, width, height, 1, keypoints, NULL, 1, refined) != POSEFIX_OK) {
    return fail("cannot refine");
  }
  for (int k = 0; k < info.joints; ++k) {
    printf("joint %d: (%.1f, %.1f) -> (%.1f, %.1f)\n", k, keypoints[k * 3], keypoints[k * 3 + 1], refined[k * 2],
           refined[k * 2 + 1]);
  }
  free(refined);
  free(keypoints);
  free(bgr);
  posefix_close(session);
  return EXIT_SUCCESS;
}
