#include "compiler/passes/passes.h"

namespace posefix::compiler {

const std::vector<GraphPass>& graph_passes() {
  static const std::vector<GraphPass> passes{{"fold_padding", &fold_padding},
                                             {"fuse_bias", &fuse_bias},
                                             {"fold_batch_norm", &fold_batch_norm},
                                             {"fuse_residual", &fuse_residual},
                                             {"fuse_relu", &fuse_relu}};
  return passes;
}

}  // namespace posefix::compiler
