/* posefix: better 2-D poses from a picture and the poses that any estimator found in it.
 *
 * The C API of the deployed library: offline models (.plan files, made by `posefix compile`) and the backends they run
 * on. Every function that can fail returns a posefix_status; posefix_error() then holds a message that says what,
 * where, what was expected and found, and what to do. No function aborts on bad input or lets a C++ exception out.
 *
 * Threads: a session serves one caller at a time; several sessions may run side by side. posefix_error() is per thread.
 * Frames: image_px is the picture, crop_px the network's input (W x H); pixel centres are at whole numbers.
 * Dimension letters: B persons in a batch, H W crop height and width, K joints, N persons in a picture.
 */
#ifndef POSEFIX_POSEFIX_H_
#define POSEFIX_POSEFIX_H_

#include <stdint.h>

#if defined(__GNUC__)
#define POSEFIX_API __attribute__((visibility("default")))
#else
#define POSEFIX_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

typedef enum posefix_status {
  POSEFIX_OK = 0,
  POSEFIX_FAILED = 1,    /* the run failed: I/O, device, out of memory */
  POSEFIX_BAD_INPUT = 2, /* a file or an argument is wrong */
  POSEFIX_INTERRUPTED = 130
} posefix_status;

typedef struct posefix_session posefix_session;

typedef struct posefix_options {
  const char* backend; /* "cpu", "reference"; NULL: what the model was compiled for */
  const char* device;  /* for backends with several; NULL: the default */
  int32_t max_batch;   /* persons at a time, 1 to 1024; 0: 8 */
  int32_t threads;     /* 0: all cores */
} posefix_options;

/* Texts live as long as the session. */
typedef struct posefix_info {
  int32_t height; /* H */
  int32_t width;  /* W */
  int32_t joints; /* K */
  int32_t heatmap_stride;
  int32_t max_batch;
  const char* precision; /* "f32", ... */
  const char* backend;
  const char* config_yaml;   /* the configuration that the model was built from */
  const char* skeleton_yaml; /* names, mirror pairs, ... of the joints */
} posefix_info;

/* "0.1.0" */
POSEFIX_API const char* posefix_version(void);

/* What went wrong in this thread's last failed call; "" if nothing did. Valid until the thread's next call. */
POSEFIX_API const char* posefix_error(void);

/* Opens a .plan. `options` may be NULL. On success *session must be given back with posefix_close(). */
POSEFIX_API posefix_status posefix_open(const char* path, const posefix_options* options, posefix_session** session);
/* NULL is allowed. */
POSEFIX_API void posefix_close(posefix_session* session);
POSEFIX_API posefix_status posefix_get_info(const posefix_session* session, posefix_info* info);

/* The network on B crops, 1 <= B <= max_batch.
 *   crops   [B,H,W,3] BGR
 *   pose    [B,K,2] crop_px (x, y)
 *   valid   [B,K] 0 or 1
 *   coords  [B,K,2] crop_px, out
 *   spread  [B,K] crop_px, out: standard deviation of the answer's heat map, small where the network is sure; or NULL
 */
POSEFIX_API posefix_status posefix_run(posefix_session* session, int32_t batch, const uint8_t* crops, const float* pose,
                                       const float* valid, float* coords, float* spread);

/* How far posefix_refine() moves joints towards the network's answer: "calibrated", as far as the model's calibration
 * says (from the answer's heat map, the distance and the joint's score), or "raw", all the way. A session starts
 * calibrated if its model carries a calibration that its backend can use, else raw. */
POSEFIX_API posefix_status posefix_set_trust(posefix_session* session, const char* trust);
/* "calibrated" or "raw"; NULL if `session` is. */
POSEFIX_API const char* posefix_get_trust(const posefix_session* session);

/* A picture in memory with the poses of N persons: crop, flip test, network, back to the picture.
 *   bgr        [height,width,3], rows top to bottom, without padding
 *   keypoints  [N,K,3] image_px x, y and the estimator's score; joints with score 0 are unknown
 *   boxes      [N,4] image_px x, y, width, height; or NULL: made from the joints
 *   flip_test  not 0: the mean of the crop's and the mirrored crop's answer, twice the time, better
 *   refined    [N,K,2] image_px, out */
POSEFIX_API posefix_status posefix_refine(posefix_session* session, const uint8_t* bgr, int32_t width, int32_t height,
                                          int32_t persons, const double* keypoints, const double* boxes,
                                          int32_t flip_test, double* refined);

#ifdef __cplusplus
}
#endif

#endif /* POSEFIX_POSEFIX_H_ */
