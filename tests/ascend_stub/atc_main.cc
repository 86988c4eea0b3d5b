// The stub's atc: accepts what CANN's documentation describes for TensorFlow and ONNX models and refuses everything
// else.
//
// Environment: ASCEND_STUB_ATC=hang (never ends, with a child of its own), crash (dies in the middle), suffix (names
// the model M_linux_x86_64.om as atc does for another host).
#include <sys/types.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <map>
#include <set>
#include <sstream>

#include "base/error.h"
#include "exporters/op_graph.h"
#include "interpreter.h"
#include "om_file.h"

namespace ascend_stub {
namespace {

struct AtcError {
  std::string code;
  std::string text;
};

[[noreturn]] void invalid(const std::string& option, const std::string& value, const std::string& reason) {
  throw AtcError{"E10001", "Value " + value + " for parameter " + option + " is invalid. Reason: " + reason};
}

using Options = std::map<std::string, std::string>;

const std::set<std::string> kOptions{"--framework",      "--model",      "--input_format",
                                     "--input_shape",    "--output",     "--output_type",
                                     "--out_nodes",      "--keep_dtype", "--dynamic_batch_size",
                                     "--insert_op_conf", "--log",        "--soc_version",
                                     "--precision_mode", "--mode",       "--om"};

Options parse_options(int argc, char** argv) {
  Options options;
  for (int i = 1; i < argc; ++i) {
    const std::string argument = argv[i];
    const size_t equals = argument.find('=');
    const std::string name = argument.substr(0, equals);
    if (!kOptions.contains(name) || equals == std::string::npos) {
      throw AtcError{"E10005", "unknown command line flag '" + argument + "'"};
    }
    if (!options.emplace(name, argument.substr(equals + 1)).second) invalid(name, argument, "it is given twice");
  }
  return options;
}

std::string value_of(const Options& options, const std::string& name, const std::string& otherwise = "") {
  const auto found = options.find(name);
  return found == options.end() ? otherwise : found->second;
}

void check_choice(const Options& options, const std::string& name, const std::set<std::string>& choices) {
  const std::string value = value_of(options, name);
  if (options.contains(name) && !choices.contains(value)) {
    invalid(name, value, "The current value is not within the valid range.");
  }
}

void check_options(const Options& options) {
  for (const char* name : {"--framework", "--model", "--output", "--soc_version"}) {
    if (value_of(options, name).empty()) throw AtcError{"E10007", std::string("[") + name + "] is required"};
  }
  check_choice(options, "--framework", {"3", "5"});
  const bool is_onnx = value_of(options, "--framework") == "5";
  check_choice(options, "--input_format",
               is_onnx ? std::set<std::string>{"NCHW", "ND"} : std::set<std::string>{"NCHW", "NHWC", "ND"});
  check_choice(options, "--output_type", {"FP32", "FP16", "UINT8"});
  check_choice(options, "--precision_mode",
               {"force_fp16", "force_fp32", "must_keep_origin_dtype", "allow_mix_precision", "allow_fp32_to_fp16",
                "cube_fp16in_fp32out"});
  check_choice(options, "--soc_version",
               {"Ascend310", "Ascend310P1", "Ascend310P3", "Ascend310B1", "Ascend310B4", "Ascend910A", "Ascend910B1",
                "Ascend910B2", "Ascend910B3", "Ascend910B4"});
  for (const char* name : {"--keep_dtype", "--insert_op_conf", "--model"}) {
    const std::string path = value_of(options, name);
    if (!path.empty() && !std::ifstream(path))
      throw AtcError{"E10003", "Path [" + path + "] of " + name + " is not a file"};
  }
  if (options.contains("--keep_dtype") && value_of(options, "--precision_mode") == "must_keep_origin_dtype") {
    invalid("--keep_dtype", value_of(options, "--keep_dtype"), "It has no effect with must_keep_origin_dtype.");
  }
}

std::vector<std::string> split(const std::string& text, char separator) {
  std::vector<std::string> parts;
  std::stringstream stream(text);
  for (std::string part; std::getline(stream, part, separator);) parts.push_back(part);
  return parts;
}

Shape parse_dims(const std::string& option, const std::string& text) {
  Shape dims;
  for (const std::string& part : split(text, ',')) {
    char* end = nullptr;
    dims.push_back(std::strtoll(part.c_str(), &end, 10));
    if (part.empty() || *end != '\0') invalid(option, text, "a dimension is not a number");
  }
  return dims;
}

std::map<std::string, Shape> parse_input_shape(const std::string& text) {
  std::map<std::string, Shape> shapes;
  for (const std::string& part : split(text, ';')) {
    const size_t colon = part.rfind(':');
    if (colon == std::string::npos) {
      throw AtcError{"E10002",
                     "Value " + text + " for parameter --input_shape is invalid. Must be formatted as name:d,d;..."};
    }
    shapes[part.substr(0, colon)] = parse_dims("--input_shape", part.substr(colon + 1));
  }
  return shapes;
}

void check_node(const NodeDef& node) {
  if (!known_operators().contains(node.op)) {
    throw AtcError{"E19010", "No parser is registered for Op [" + node.name + ", optype [" + node.op + "]]."};
  }
  const bool is_conv = node.op == "Conv2D" || node.op == "Conv2DBackpropInput";
  if (!is_conv) return;
  const std::string& padding = node.at("padding").s;
  const bool is_valid = padding == "SAME" || (padding == "VALID" && node.op == "Conv2D");
  const Attribute* explicit_paddings = node.find("explicit_paddings");
  if (!is_valid || (explicit_paddings != nullptr && !explicit_paddings->list_i.empty())) {
    throw AtcError{"E19014", "Op [" + node.name + "]: padding " + padding + " or explicit paddings are not supported"};
  }
}

void check_onnx_node(const posefix::exporters::OpNode& node) {
  const bool is_refused = (node.op == "ConvTranspose" &&
                           (!node.attributes.contains("kernel_shape") || node.attributes.contains("output_shape"))) ||
                          (node.op == "MaxPool" && node.outputs.size() != 1) || !node.text("auto_pad", "").empty();
  if (is_refused) {
    throw AtcError{"E19014", "Op [" + node.name + ", optype [" + node.op + "]]: an attribute is not supported"};
  }
}

// An input as the model declares it; shape: -1 where it is open, empty if it is not known.
using Declared = std::pair<std::string, Shape>;

std::vector<Declared> declared_inputs(const GraphDef& graph) {
  std::vector<Declared> inputs;
  for (const NodeDef& node : graph.nodes) {
    if (node.op != "Placeholder") continue;
    const Attribute* shape = node.find("shape");
    inputs.emplace_back(node.name, shape != nullptr && shape->has_shape ? shape->shape : Shape{});
  }
  return inputs;
}

// The inputs in the model's order, with the shapes of --input_shape or of the model itself.
std::vector<OmPort> find_inputs(const std::vector<Declared>& declared, const std::map<std::string, Shape>& shapes,
                                bool has_gears) {
  std::vector<OmPort> inputs;
  for (const auto& [name, in_model] : declared) {
    const auto found = shapes.find(name);
    if (found == shapes.end() && in_model.empty()) {
      throw AtcError{"E10011", "The shape of the input " + name + " is unknown: give it in --input_shape"};
    }
    const Shape shape = found != shapes.end() ? found->second : in_model;
    for (size_t d = 0; d < shape.size(); ++d) {
      const bool is_gear = d == 0 && shape[d] == -1 && has_gears;
      if (shape[d] < 1 && !is_gear) {
        throw AtcError{"E10011", "The shape of the input " + name + " is not fixed: give it in --input_shape"};
      }
      const int64_t there = in_model.size() == shape.size() ? in_model[d] : in_model.empty() ? -1 : 0;
      if (there != -1 && there != shape[d]) {
        throw AtcError{"E10019", "--input_shape of " + name + " does not fit the model"};
      }
    }
    inputs.push_back({name, "f32", shape});
  }
  for (const auto& [name, shape] : shapes) {
    const bool is_known =
        std::any_of(declared.begin(), declared.end(), [&](const Declared& d) { return d.first == name; });
    if (!is_known) {
      throw AtcError{"E10016", "Opname [" + name + "] specified in --input_shape is not found in the model"};
    }
  }
  return inputs;
}

void apply_aipp(const std::string& path, OmFile& om) {
  std::ifstream file(path);
  std::string text{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  std::map<std::string, std::string> values;
  std::replace(text.begin(), text.end(), ':', ' ');
  std::stringstream words(text.substr(std::min(text.find('{'), text.size() - 1) + 1));
  for (std::string key, value; words >> key >> value;) values[key] = value;
  const Shape& image = om.inputs.at(0).dims;
  if (values["aipp_mode"] != "static" || values["input_format"] != "RGB888_U8" || image.size() != 4 ||
      values["src_image_size_h"] != std::to_string(image[1]) ||
      values["src_image_size_w"] != std::to_string(image[2])) {
    throw AtcError{"E10001", "--insert_op_conf: the AIPP configuration does not fit the first input"};
  }
  om.inputs[0].dtype = "u8";
  for (const char* channel : {"0", "1", "2"}) {
    if (values[std::string("var_reci_chn_") + channel] != "1.0") invalid("--insert_op_conf", path, "var_reci_chn");
    om.aipp_mean.push_back(std::atof(values[std::string("mean_chn_") + channel].c_str()) +
                           std::atof(values[std::string("min_chn_") + channel].c_str()));
  }
}

void set_batches(const Options& options, OmFile& om) {
  const std::string gears = value_of(options, "--dynamic_batch_size");
  if (gears.empty()) {
    om.batch = om.inputs.at(0).dims.at(0);
    return;
  }
  om.gears = parse_dims("--dynamic_batch_size", gears);
  if (om.gears.size() < 2 || om.gears.size() > 100) {
    throw AtcError{"E10035", "The number of gears of --dynamic_batch_size must be 2 to 100"};
  }
  for (const OmPort& input : om.inputs) {
    if (input.dims[0] != -1) throw AtcError{"E10018", "--dynamic_batch_size needs -1 as first dimension of all inputs"};
  }
  om.batch = *std::max_element(om.gears.begin(), om.gears.end());
}

Shape infer_output(const GraphDef& graph, const OmFile& om, int64_t batch) {
  std::map<std::string, Value> placeholders;
  for (const OmPort& input : om.inputs) {
    Value value;
    value.shape = input.dims;
    value.shape[0] = batch;
    int64_t count = 1;
    for (const int64_t d : value.shape) count *= d;
    value.floats.assign(static_cast<size_t>(count), 0.0F);
    placeholders[input.name] = std::move(value);
  }
  const std::string& name = om.outputs.at(0).name;
  return execute(graph, placeholders, name.substr(0, name.find(':')), Mode::kShapes).shape;
}

void compile_graphdef(const Options& options, OmFile& om) {
  GraphDef graph;
  try {
    graph = parse_graphdef(om.graph);
  } catch (const std::exception& error) {
    throw AtcError{"E19005", std::string("Failed to parse the model: ") + error.what()};
  }
  for (const NodeDef& node : graph.nodes) check_node(node);
  const std::string out = value_of(options, "--out_nodes");
  const std::string node = out.substr(0, out.find(':'));
  if (out != node + ":0" || graph.find(node) == nullptr) {
    throw AtcError{"E10016", "Opname [" + out + "] specified in --out_nodes is not found in the model"};
  }
  om.inputs = find_inputs(declared_inputs(graph), parse_input_shape(value_of(options, "--input_shape")),
                          options.contains("--dynamic_batch_size"));
  set_batches(options, om);
  om.outputs = {{out, "f32", {}}};
  try {
    for (const int64_t gear : om.gears.empty() ? std::vector<int64_t>{om.batch} : om.gears) {
      om.outputs[0].dims = infer_output(graph, om, gear);
    }
  } catch (const std::exception& error) {
    throw AtcError{"E89999", std::string("infer shape failed: ") + error.what()};
  }
}

// Without --out_nodes the model's own outputs: coords [B,K,2] and spread [B,K].
void compile_onnx(const Options& options, OmFile& om) {
  posefix::exporters::OpGraph graph;
  try {
    graph = posefix::exporters::parse_onnx(om.graph, "the model");
  } catch (const posefix::Error& error) {
    throw AtcError{"E19005", std::string("Failed to parse the model: ") + error.what()};
  }
  for (const posefix::exporters::OpNode& node : graph.nodes) check_onnx_node(node);
  if (options.contains("--out_nodes")) invalid("--out_nodes", value_of(options, "--out_nodes"), "The stub takes all.");
  std::vector<Declared> declared;
  for (const posefix::exporters::OpInput& input : graph.inputs) declared.emplace_back(input.name, input.shape);
  om.inputs = find_inputs(declared, parse_input_shape(value_of(options, "--input_shape")),
                          options.contains("--dynamic_batch_size"));
  set_batches(options, om);
  if (graph.outputs != std::vector<std::string>{"coords", "spread"}) {
    throw AtcError{"E89999", "infer shape failed: the stub runs models with the outputs coords and spread"};
  }
  const int64_t joints = om.inputs.back().dims.at(1);
  om.outputs = {{"coords", "f32", {om.batch, joints, 2}}, {"spread", "f32", {om.batch, joints}}};
  om.is_onnx = true;
}

OmFile compile(const Options& options, const std::string& command) {
  std::ifstream file(value_of(options, "--model"), std::ios::binary);
  OmFile om;
  om.graph = {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  om.soc = value_of(options, "--soc_version");
  om.command = command;
  if (value_of(options, "--framework") == "5") {
    compile_onnx(options, om);
  } else {
    compile_graphdef(options, om);
  }
  for (OmPort& output : om.outputs) {
    output.dtype = value_of(options, "--output_type", "FP32") == "FP16" ? "f16" : "f32";
    if (!om.gears.empty()) output.dims.at(0) = -1;
  }
  if (options.contains("--insert_op_conf")) {
    if (value_of(options, "--input_format") != "NHWC") invalid("--input_format", "ND", "AIPP needs NHWC or NCHW.");
    apply_aipp(value_of(options, "--insert_op_conf"), om);
  }
  return om;
}

// atc --mode=6 --om=M.om
void show(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  const OmFile om = decode_om(std::string{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()});
  std::printf("============ Display Model Info start ============\n");
  std::printf("Original Atc command line: %s\n", om.command.c_str());
  std::printf("system   info: atc_version[stub-1.0], soc_version[%s], framework_type[TensorFlow].\n", om.soc.c_str());
  std::printf("============ Display Model Info end   ============\n");
}

void misbehave_if_asked() {
  const char* fault = std::getenv("ASCEND_STUB_ATC");
  if (fault == nullptr) return;
  if (std::string(fault) == "crash") std::abort();
  if (std::string(fault) == "hang") {
    ::fork();  // atc has children of its own; both must end with the process group
    while (true) ::pause();
  }
}

int run(int argc, char** argv) {
  std::string command = "atc";
  for (int i = 1; i < argc; ++i) command += std::string(" ") + argv[i];
  const Options options = parse_options(argc, argv);
  if (value_of(options, "--mode") == "6") {
    show(value_of(options, "--om"));
    return 0;
  }
  std::printf("ATC start working now, please wait for a moment.\n");
  std::fflush(stdout);
  check_options(options);
  const OmFile om = compile(options, command);
  misbehave_if_asked();
  const char* fault = std::getenv("ASCEND_STUB_ATC");
  const bool has_suffix = fault != nullptr && std::string(fault) == "suffix";
  const std::string name = value_of(options, "--output") + (has_suffix ? "_linux_x86_64.om" : ".om");
  const std::string bytes = encode_om(om);
  if (!std::ofstream(name, std::ios::binary).write(bytes.data(), static_cast<std::streamsize>(bytes.size()))) {
    throw AtcError{"E10003", "cannot write " + name};
  }
  std::printf("...\nATC run success, welcome to the next use.\n");
  return 0;
}

}  // namespace
}  // namespace ascend_stub

int main(int argc, char** argv) {
  try {
    return ascend_stub::run(argc, argv);
  } catch (const ascend_stub::AtcError& error) {
    std::printf("ATC run failed, Please check the detail log, Try 'atc --help' for more information\n%s: %s\n",
                error.code.c_str(), error.text.c_str());
  } catch (const std::exception& error) {
    std::printf("ATC run failed, Please check the detail log\nE19999: Inner Error! %s\n", error.what());
  }
  return 255;
}
