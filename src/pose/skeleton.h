// Skeletons: joint names, mirror pairs, limbs, OKS sigmas, and how each joint errs; read from YAML, never from code.
//
// A skeleton's YAML: name; joints [name...]; flip_pairs [[left, right]...]; limbs [[a, b]...]; sigmas [number...];
// error_kinds [row...]; ignored [name...] (optional); head [top, bottom] (optional). Joints are given by name. The
// shipped ones use the error kinds nose, face, shoulder, elbow, wrist, hip, knee, ankle.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace posefix::pose {

struct Skeleton {
  std::string name;
  std::vector<std::string> joints;              // K names in file order
  std::vector<std::pair<int, int>> flip_pairs;  // left/right joint indices
  std::vector<std::pair<int, int>> limbs;       // for drawing
  std::vector<double> sigmas;                   // OKS sigma per joint (COCO's convention: falloff 2*sigma)
  std::vector<int> ignored;                     // slots that no data set fills (PoseTrack's ears)
  std::vector<std::string> error_kinds;         // per joint: row of the synthesis table ("face", "hip", ...)
  std::pair<int, int> head_joints{-1, -1};      // head segment for PCKh, -1 when there is none
  std::string yaml;                             // the text it was read from; stored in snapshots and plans

  int size() const { return static_cast<int>(joints.size()); }
  // Mirror partner of every joint, itself when it has none.
  std::vector<int> flip_permutation() const;
  bool is_ignored(int joint) const;
  // Index of a joint name, -1 if absent.
  int find(std::string_view joint) const;

  // A shipped name (coco17, mpii16, mpii16_reference, posetrack17, posetrack15, lsp14, crowdpose14, aic14; compiled
  // in) or the path of a YAML file. Error (bad input) names file, field and the nearest shipped name.
  static Skeleton load(const std::string& name_or_path);
  static Skeleton parse(std::string_view yaml, const std::string& name_for_messages);
};

std::vector<std::string> shipped_skeletons();

}  // namespace posefix::pose
