#include "image/draw.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "base/error.h"

namespace posefix::image {
namespace {

pose::Skeleton stick() {
  pose::Skeleton skeleton;
  skeleton.name = "stick";
  skeleton.joints = {"head", "left_hand", "right_hand"};
  skeleton.flip_pairs = {{1, 2}};
  skeleton.limbs = {{0, 1}, {0, 2}};
  return skeleton;
}

Image grey(int width, int height) {
  return {width, height, std::vector<uint8_t>(3 * static_cast<size_t>(width) * static_cast<size_t>(height), 128)};
}

std::array<int, 3> pixel(const Image& image, int x, int y) {
  const size_t at = 3 * static_cast<size_t>(y * image.width + x);
  return {image.bgr[at], image.bgr[at + 1], image.bgr[at + 2]};
}

TEST(Draw, SidesDifferAndAbsentJointsAreLeftOut) {
  Image image = grey(200, 100);
  draw_person(image, stick(), {{{100, 20, 1}, {40, 80, 1}, {160, 80, 1}}, 0, ""});
  EXPECT_NE(pixel(image, 70, 50), pixel(image, 130, 50));
  EXPECT_NE(pixel(image, 70, 50), (std::array<int, 3>{128, 128, 128}));
  Image other = grey(200, 100);
  draw_person(other, stick(), {{{100, 20, 1}, {40, 80, 0}, {160, 80, 1}}, 0, "label"});
  EXPECT_EQ(pixel(other, 70, 50), (std::array<int, 3>{128, 128, 128}));
}

TEST(Draw, StrangeCoordinatesAreHarmless) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  for (const double value : {nan, 1e300, -1e300, 99999.0, -500.0, std::numeric_limits<double>::infinity()}) {
    Image image = grey(50, 40);
    draw_person(image, stick(), {{{value, 20, 1}, {40, value, 1}, {10, 10, 1}}, -7, "name \xC3\xA9"});
  }
  Image image = grey(50, 40);
  EXPECT_THROW(draw_person(image, stick(), {{{1, 1, 1}}, 0, ""}), Error);
}

TEST(Draw, PanelsHaveTheExpectedSizeAndCaptionsFit) {
  const Image picture = grey(120, 90);
  const std::vector<DrawnPerson> before{{{{10, 10, 1}, {30, 40, 1}, {60, 60, 1}}, 0, "1"}};
  const std::vector<DrawnPerson> after{{{{20, 10, 1}, {30, 60, 1}, {60, 20, 1}}, 0, "1"}};
  const Image panel = side_by_side(picture, stick(), before, after, "before", "after");
  EXPECT_EQ(panel.width, 244);
  EXPECT_EQ(panel.height, 110);
  // The strip keeps its ground at every border, however long the text is.
  const Image wide = side_by_side(picture, stick(), before, after, std::string(80, 'W'), "after");
  for (int x = 0; x < wide.width; ++x) {
    EXPECT_EQ(pixel(wide, x, 0), pixel(wide, 0, 0));
    EXPECT_EQ(pixel(wide, x, 19), pixel(wide, 0, 0));
  }
  for (int y = 0; y < 20; ++y) EXPECT_EQ(pixel(wide, picture.width + 1, y), pixel(wide, 0, 0));
}

}  // namespace
}  // namespace posefix::image
