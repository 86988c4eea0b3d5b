#include "image/draw.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <opencv2/imgproc.hpp>

#include "base/error.h"

namespace posefix::image {
namespace {

struct SideColors {
  cv::Scalar left, right, middle;  // BGR
};

// Left warm, right cold, as most pose pictures have it; later persons take other shades.
const std::array<SideColors, 6> kPalette{{
    {{0, 140, 255}, {255, 144, 30}, {80, 220, 60}},
    {{60, 60, 255}, {255, 220, 0}, {0, 230, 230}},
    {{180, 105, 255}, {200, 200, 0}, {120, 200, 120}},
    {{0, 215, 255}, {255, 60, 120}, {200, 160, 60}},
    {{120, 80, 220}, {230, 160, 90}, {90, 220, 180}},
    {{0, 165, 200}, {220, 90, 200}, {60, 180, 240}},
}};
const cv::Scalar kOutline{25, 25, 25};
const cv::Scalar kText{240, 240, 240};
constexpr int kShift = 4;  // fraction bits of drawn coordinates
constexpr double kFarAway_px = 1e5;

enum class Side { kLeft, kRight, kMiddle };

std::vector<Side> sides_of(const pose::Skeleton& skeleton) {
  std::vector<Side> sides(skeleton.joints.size(), Side::kMiddle);
  for (const auto& [left, right] : skeleton.flip_pairs) {
    sides[static_cast<size_t>(left)] = Side::kLeft;
    sides[static_cast<size_t>(right)] = Side::kRight;
  }
  return sides;
}

Side limb_side(Side a, Side b) {
  if (a == b) return a;
  if (a == Side::kMiddle) return b;
  return b == Side::kMiddle ? a : Side::kMiddle;
}

const cv::Scalar& color_of(int person, Side side) {
  const SideColors& colors = kPalette[static_cast<size_t>(std::abs(person)) % kPalette.size()];
  return side == Side::kLeft ? colors.left : side == Side::kRight ? colors.right : colors.middle;
}

cv::Mat view(Image& image) { return {image.height, image.width, CV_8UC3, image.bgr.data()}; }

Image blank(int width, int height, uint8_t grey) {
  return {width, height, std::vector<uint8_t>(3 * static_cast<size_t>(width) * static_cast<size_t>(height), grey)};
}

void paste(const Image& source, Image& target, int left, int top) {
  const size_t row = 3 * static_cast<size_t>(source.width);
  for (int y = 0; y < source.height; ++y) {
    std::memcpy(target.bgr.data() +
                    3 * (static_cast<size_t>(top + y) * static_cast<size_t>(target.width) + static_cast<size_t>(left)),
                source.bgr.data() + row * static_cast<size_t>(y), row);
  }
}

bool is_drawable(const pose::Keypoint& joint, const DrawStyle& style) {
  return joint.score > style.min_score && std::abs(joint.x) < kFarAway_px && std::abs(joint.y) < kFarAway_px;
}

cv::Point fixed(const pose::Keypoint& joint) {
  constexpr double kScale = 1 << kShift;
  return {static_cast<int>(std::lround(joint.x * kScale)), static_cast<int>(std::lround(joint.y * kScale))};
}

int line_width(const Image& image, const DrawStyle& style) {
  const double width = style.line_px > 0 ? style.line_px : 0.005 * std::max(image.width, image.height);
  return std::max(1, static_cast<int>(std::lround(width)));
}

std::string ascii(const std::string& text) {
  std::string result;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if ((byte & 0xC0U) == 0x80U) continue;  // continuation of a UTF-8 character that already gave its '?'
    result += byte >= 0x20 && byte < 0x7F ? c : '?';
  }
  return result;
}

// Margin left and right of a text.
constexpr int kMargin_px = 6;

int text_width(const std::string& text, double scale) {
  int baseline = 0;
  return cv::getTextSize(ascii(text), cv::FONT_HERSHEY_SIMPLEX, scale, 1, &baseline).width;
}

// For a strip of this height, smaller if a text would not fit the width.
double text_scale(std::initializer_list<std::string_view> texts, int width, int height) {
  const double scale = height / 38.0;
  int widest = 1;
  for (const std::string_view text : texts) widest = std::max(widest, text_width(std::string(text), scale));
  return scale * std::clamp((width - 2.0 * kMargin_px) / widest, 0.1, 1.0);
}

// The text in the middle of `where`'s height.
void write_text(cv::Mat canvas, const std::string& text, cv::Rect where, double scale) {
  constexpr double kCapital_px = 21;  // height of Hershey's capitals at scale 1
  const int baseline = where.y + static_cast<int>(std::lround((where.height + kCapital_px * scale) / 2));
  cv::putText(canvas, ascii(text), {where.x + kMargin_px, baseline}, cv::FONT_HERSHEY_SIMPLEX, scale, kText,
              scale >= 0.9 ? 2 : 1, cv::LINE_AA);
}

void draw_label(cv::Mat canvas, const DrawnPerson& person, const DrawStyle& style) {
  const pose::Keypoint* top = nullptr;
  for (const pose::Keypoint& joint : person.keypoints) {
    if (is_drawable(joint, style) && (top == nullptr || joint.y < top->y)) top = &joint;
  }
  if (top == nullptr || person.label.empty()) return;
  const int height = std::clamp(canvas.rows / 24, 14, 40);
  const double scale = text_scale({person.label}, canvas.cols, height);
  const int width = 2 * kMargin_px + text_width(person.label, scale);
  const int x = std::clamp(static_cast<int>(top->x) - width / 2, 0, std::max(0, canvas.cols - width));
  const int y = std::clamp(static_cast<int>(top->y) - 2 * height, 0, std::max(0, canvas.rows - height));
  const cv::Rect box(x, y, width, height);
  cv::rectangle(canvas, box, kOutline, cv::FILLED);
  write_text(canvas, person.label, box, scale);
}

// A thin line from where each joint was to where it is, if it moved visibly.
void draw_moves(Image& image, const DrawnPerson& before, const DrawnPerson& after, const DrawStyle& style) {
  const double visible_px = 2.0 * line_width(image, style);
  const size_t joints = std::min(before.keypoints.size(), after.keypoints.size());
  for (size_t j = 0; j < joints; ++j) {
    const pose::Keypoint& from = before.keypoints[j];
    const pose::Keypoint& to = after.keypoints[j];
    if (!is_drawable(from, style) || !is_drawable(to, style)) continue;
    if (std::hypot(to.x - from.x, to.y - from.y) < visible_px) continue;
    cv::line(view(image), fixed(from), fixed(to), kText, 1, cv::LINE_AA, kShift);
  }
}

}  // namespace

void draw_person(Image& image, const pose::Skeleton& skeleton, const DrawnPerson& person, const DrawStyle& style) {
  if (person.keypoints.size() != skeleton.joints.size()) {
    throw bad_input("cannot draw a pose of {} joints as {} ({} joints); choose its skeleton", person.keypoints.size(),
                    skeleton.name, skeleton.joints.size());
  }
  const cv::Mat canvas = view(image);
  const std::vector<Side> sides = sides_of(skeleton);
  const int width = line_width(image, style);
  for (const bool outline : {true, false}) {
    for (const auto& [a, b] : skeleton.limbs) {
      const auto i = static_cast<size_t>(a);
      const auto j = static_cast<size_t>(b);
      if (!is_drawable(person.keypoints[i], style) || !is_drawable(person.keypoints[j], style)) continue;
      cv::line(canvas, fixed(person.keypoints[i]), fixed(person.keypoints[j]),
               outline ? kOutline : color_of(person.color, limb_side(sides[i], sides[j])), outline ? width + 2 : width,
               cv::LINE_AA, kShift);
    }
  }
  for (size_t j = 0; j < person.keypoints.size(); ++j) {
    if (!is_drawable(person.keypoints[j], style)) continue;
    const int radius = (width + 1) << kShift;
    cv::circle(canvas, fixed(person.keypoints[j]), radius, color_of(person.color, sides[j]), cv::FILLED, cv::LINE_AA,
               kShift);
    cv::circle(canvas, fixed(person.keypoints[j]), radius, kOutline, 1, cv::LINE_AA, kShift);
  }
  draw_label(canvas, person, style);
}

Image side_by_side(const Image& picture, const pose::Skeleton& skeleton, std::span<const DrawnPerson> before,
                   std::span<const DrawnPerson> after, const std::string& caption_before,
                   const std::string& caption_after, const DrawStyle& style) {
  constexpr int kGap_px = 4;
  Image left = picture;
  Image right = picture;
  for (const DrawnPerson& person : before) draw_person(left, skeleton, person, style);
  for (size_t i = 0; i < after.size(); ++i) {
    if (style.show_moves && i < before.size()) draw_moves(right, before[i], after[i], style);
    draw_person(right, skeleton, after[i], style);
  }
  const int strip = std::clamp(picture.height / 14, 20, 48);
  const int middle = picture.width + kGap_px;
  Image panel = blank(middle + picture.width, strip + picture.height, 40);
  paste(left, panel, 0, strip);
  paste(right, panel, middle, strip);
  const double scale = text_scale({caption_before, caption_after}, picture.width, strip);
  write_text(view(panel), caption_before, {0, 0, picture.width, strip}, scale);
  write_text(view(panel), caption_after, {middle, 0, picture.width, strip}, scale);
  return panel;
}

Image resized(const Image& image, int width) {
  PFX_CHECK(width > 0 && image.width > 0);
  const double ratio = static_cast<double>(width) / image.width;
  Image result = blank(width, std::max(1, static_cast<int>(std::lround(image.height * ratio))), 0);
  Image source = image;
  cv::Mat target = view(result);
  cv::resize(view(source), target, target.size(), 0, 0, ratio < 1 ? cv::INTER_AREA : cv::INTER_LINEAR);
  return result;
}

}  // namespace posefix::image
