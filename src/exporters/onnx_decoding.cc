#include "exporters/onnx_decoding.h"

#include <array>

#include "exporters/network_parts.h"

namespace posefix::exporters {
namespace {

// [.., K, 2] of the mirrored picture: x -> W-1-x, joints swapped. write_mirrored() has made the two constants.
std::string mirrored_coordinates(OnnxFile& file, const std::string& name, const std::string& coords,
                                 const std::string& joints, const OnnxOptions& options) {
  const std::string swapped =
      file.op("Gather", name + "/swapped", {coords, file.ints(joints, options.mirror)}, {single("axis", 1)});
  return file.op("Add", name, {file.op("Mul", name + "/negated", {swapped, "mirror_sign"}), "mirror_offset"});
}

// Sum over pixels of softmax * weight.
std::string expectation(OnnxFile& file, const std::string& name, const std::string& softmax, const std::string& weight,
                        bool keep) {
  const std::string product = file.op("Mul", name + "/mul", {softmax, weight});
  return file.op("ReduceSum", name, {product, "decode/pixels"}, {single("keepdims", keep ? 1 : 0)});
}

std::string squared_difference(OnnxFile& file, const std::string& name, const std::string& a, const std::string& b) {
  const std::string difference = file.op("Sub", name + "/sub", {a, b});
  return file.op("Mul", name, {difference, difference});
}

std::array<std::string, 2> halves(OnnxFile& file, const std::string& value, const std::string& name) {
  const std::string first = file.op("Split", name + "_first", {value}, {single("axis", 0)});
  return {first, file.further_output(name + "_second")};
}

// The mean of the answer and the mirrored picture's answer mirrored back.
void merge(OnnxFile& file, const std::string& coords, const std::string& spread, const OnnxOptions& options) {
  const std::string half = file.scalar("half", 0.5);
  const auto [first, second] = halves(file, coords, "coords");
  const std::string back =
      mirrored_coordinates(file, "coords_mirrored_back", second, "mirror_joints_of_coords", options);
  file.op("Mul", "coords", {file.op("Add", "coords_sum", {first, back}), half});
  const auto [spread_first, spread_second] = halves(file, spread, "spread");
  const std::string joints = file.ints("mirror_joints_of_spread", options.mirror);
  const std::string swapped = file.op("Gather", "spread_mirrored_back", {spread_second, joints}, {single("axis", 1)});
  file.op("Mul", "spread", {file.op("Add", "spread_sum", {spread_first, swapped}), half});
}

}  // namespace

std::string write_mirrored(OnnxFile& file, const graph::Node& input, int64_t width, const OnnxOptions& options) {
  const std::string name = input.name + "_mirrored";
  if (input.name == "image") {
    std::vector<int64_t> columns;
    for (int64_t x = width; x-- > 0;) columns.push_back(x);
    return file.op("Gather", name, {input.name, file.ints("mirror_columns", columns)}, {single("axis", 2)});
  }
  if (input.name == "valid") {
    return file.op("Gather", name, {input.name, file.ints("mirror_joints", options.mirror)}, {single("axis", 1)});
  }
  file.floats("mirror_sign", {1, 1, 2}, std::array{-1.0F, 1.0F});
  file.floats("mirror_offset", {1, 1, 2}, std::array{static_cast<float>(width - 1), 0.0F});
  return mirrored_coordinates(file, name, input.name, "mirror_joints_of_pose", options);
}

void write_decoding(OnnxFile& file, const std::string& value, const Shape& map, double stride,
                    const OnnxOptions& options) {
  const int64_t pixels = map[1] * map[2];
  const std::string flat = file.op("Reshape", "decode/flat", {value, file.ints("decode/shape", {0, map[3], pixels})});
  const std::string softmax = file.op("Softmax", "decode/softmax", {flat}, {single("axis", 2)});
  file.ints("decode/pixels", {2});
  const std::string grid_x = file.floats("decode/grid_x", {1, 1, pixels}, pixel_positions(map[1], map[2], false));
  const std::string grid_y = file.floats("decode/grid_y", {1, 1, pixels}, pixel_positions(map[1], map[2], true));
  const std::string x = expectation(file, "decode/x", softmax, grid_x, true);
  const std::string y = expectation(file, "decode/y", softmax, grid_y, true);
  const std::string heatmap_px = file.op("Concat", "coords_heatmap_px", {x, y}, {single("axis", 2)});
  const std::string factor = file.scalar("decode/stride", stride);
  const std::string coords = file.op("Mul", options.flip ? "coords_of_both" : "coords", {heatmap_px, factor});
  // Spread about the mean, E|p - E p|^2 with the differences taken first: no cancellation.
  const std::string dx = squared_difference(file, "decode/dx", grid_x, x);
  const std::string dy = squared_difference(file, "decode/dy", grid_y, y);
  const std::string distance = file.op("Add", "decode/distance", {dx, dy});
  const std::string variance = expectation(file, "decode/variance", softmax, distance, false);
  const std::string deviation = file.op("Sqrt", "decode/deviation", {variance});
  const std::string spread = file.op("Mul", options.flip ? "spread_of_both" : "spread", {deviation, factor});
  if (options.flip) merge(file, coords, spread, options);
  file.output("coords", {-1, map[3], 2});
  file.output("spread", {-1, map[3]});
}

}  // namespace posefix::exporters
