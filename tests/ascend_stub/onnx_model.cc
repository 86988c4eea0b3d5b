#include "onnx_model.h"

#include <cmath>
#include <vector>

#include "compiler/compile.h"
#include "exporters/imported_model.h"
#include "model/posefix_net.h"
#include "runtime/backend.h"

namespace ascend_stub {
namespace {

class ReferenceModel : public OnnxModel {
 public:
  explicit ReferenceModel(std::unique_ptr<posefix::runtime::Session> session) : session_(std::move(session)) {}

  std::map<std::string, Value> run(const std::map<std::string, Value>& inputs) override {
    const Value& image = inputs.at("image");
    const Value& pose = inputs.at("pose");
    // The session subtracts the mean itself: from bytes.
    std::vector<uint8_t> crops(image.floats.size());
    for (size_t i = 0; i < crops.size(); ++i) {
      crops[i] = static_cast<uint8_t>(std::lround(image.floats[i] + posefix::model::kImageMeanBgr[i % 3]));
    }
    Value coords;
    Value spread;
    coords.shape = pose.shape;
    coords.floats.resize(pose.floats.size());
    spread.shape = {pose.shape[0], pose.shape[1]};
    spread.floats.resize(pose.floats.size() / 2);
    session_->run({pose.shape[0], crops, pose.floats, inputs.at("valid").floats}, {coords.floats, spread.floats});
    return {{"coords", std::move(coords)}, {"spread", std::move(spread)}};
  }

 private:
  std::unique_ptr<posefix::runtime::Session> session_;
};

}  // namespace

std::shared_ptr<OnnxModel> open_onnx(const std::string& bytes, int64_t largest_batch) {
  namespace exporters = posefix::exporters;
  exporters::ImportedModel model = exporters::parse_model(bytes, exporters::ModelFormat::kOnnx, "the .om");
  posefix::compiler::CompileOptions compile;
  compile.target = "reference";
  posefix::runtime::SessionOptions options;
  options.max_batch = largest_batch;
  options.threads = 1;
  return std::make_shared<ReferenceModel>(posefix::runtime::open_reference(
      posefix::compiler::compile(model.graph, std::move(model.weights), {}, compile), options));
}

}  // namespace ascend_stub
