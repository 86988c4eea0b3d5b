// After the network: the mean of the two passes, coordinates of the picture, suppression of duplicates.
#pragma once

#include <optional>
#include <span>

#include "image/crop.h"
#include "pose/skeleton.h"
#include "refine/refiner.h"

namespace posefix::refine {

// Mirrors mirrored_crop_px back in place (as it came from the network), then fills mean_crop_px (in f32, as the
// reference) and coords_image_px.
void merge_passes(Refined& refined, const pose::Skeleton& skeleton, image::CropSize size);

// Fills `kept`: per picture OKS-NMS with the crop boxes' areas and ranking_score(); everyone without a threshold.
// Candidates stand by descending pose score, as in the reference, which decides among equals.
void suppress(Refined& refined, std::span<const Person> people, const pose::Skeleton& skeleton,
              std::optional<double> threshold);

}  // namespace posefix::refine
