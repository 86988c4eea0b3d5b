// Own kernels of the cpu backend: what oneDNN has no primitive for. All run on the calling OpenMP thread's team.
//
// A map's layout is given as (blocks, block): value (c, y, x) of a person lies at
// ((c / block * height + y) * width + x) * block + c % block. nhwc is one block of C channels, nChw16c is C/16 of 16.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace posefix::runtime::cpu {

struct Layout {
  int64_t height = 0;
  int64_t width = 0;
  int64_t channels = 0;
  int64_t blocks = 1;
  int64_t block = 0;
  int64_t size() const { return blocks * block * height * width; }  // values per person, padding included
};

struct Gaussians {
  const float* pose = nullptr;   // [B,K,2] crop_px
  const float* valid = nullptr;  // [B,K]
  int64_t joints = 0;
  int64_t height = 0;  // of the crop
  int64_t width = 0;
  double sigma_px = 0;
};

// Values of a Gaussian map below this (of 255) count as zero: far below what f32 and the network can tell apart.
inline constexpr double kNegligible = 1e-4;

// A map to write: f32, or bf16 (rounded to nearest even).
struct Target {
  std::byte* data = nullptr;
  bool is_bf16 = false;
};

// crops u8 [B,H,W,3] - mean -> channels 0..2 of y; the other channels stay. By double subtraction, as the reference.
void normalise_image(int64_t batch, const Layout& out, const std::array<double, 3>& mean, const uint8_t* crops,
                     const Target& y);

// 255 * exp(-d^2 / (2 sigma^2)) * valid -> channels 3.. of y, as the product of two one-dimensional Gaussians.
void render_pose(int64_t batch, const Layout& out, const Gaussians& g, const Target& y);

// The response of a convolution to the rendered pose alone, without rendering it: a Gaussian is the product of two
// one-dimensional ones, so a filter needs one sum over kx per column and one over ky per value, only within the
// window where the Gaussian is not negligible. Leaving the rest out changes a value by less than
// kNegligible * sum |w|.
class PoseStem {
 public:
  // weights [kh,kw,K,out]
  PoseStem(const float* weights, int64_t kernel_height, int64_t kernel_width, int64_t joints, int64_t stride,
           int64_t pad_top, int64_t pad_left, const Layout& out);
  // y: the layout of the constructor, overwritten.
  void run(int64_t batch, const Gaussians& g, const Target& y);

 private:
  struct Window {
    int64_t begin_x = 0, end_x = 0;  // output columns
    int64_t begin_y = 0, end_y = 0;  // output rows
  };
  Window window_of(const Gaussians& g, int64_t joint) const;
  void prepare_joint(const Gaussians& g, int64_t joint, int64_t k);
  int64_t padded_rows() const;
  void run_rows(int64_t row, const Target& y, int64_t first) const;
  double profile(double centre, int64_t position, int64_t size, double sigma_px) const;

  int64_t kernel_height_, kernel_width_, joints_, stride_, pad_top_, pad_left_;
  Layout out_;
  std::vector<float> weights_;      // [K][blocks][kh][kw][block]
  std::vector<float> columns_;      // [K][blocks][kh][out width][block]: sums over kx, of the person at hand
  std::vector<float> row_factors_;  // [K][padded rows][taps]: the Gaussian's other direction, times 255
  std::vector<Window> windows_;     // [K]
};

// Four maps [B][blocks][h][w][block] of the output's even/odd rows and columns (phase = 2 * (y & 1) + (x & 1), one
// after the other) -> the interleaved map y. Values of `value_bytes` bytes.
void interleave_phases(int64_t batch, const Layout& out, size_t value_bytes, const std::byte* phases, std::byte* y);

// Zeros around x; value_bytes as above.
void pad(int64_t batch, const Layout& in, const Layout& out, int64_t top, int64_t left, size_t value_bytes,
         const std::byte* x, std::byte* y);

// logits (f32) -> coords [B,K,2], spread [B,K] (may be null), both times factor: softmax over all pixels, its mean and
// the square root of its variance.
void decode(int64_t batch, const Layout& logits, double factor, const float* x, float* coords, float* spread);

}  // namespace posefix::runtime::cpu
