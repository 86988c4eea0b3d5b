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

// spread_crop_px holds that of the first pass and becomes that of both: the standard deviation of the mean of the two
// heat maps, so that passes that disagree count as wide. `mirrored` [N,K] is as it came from the network; empty without
// flip test.
void merge_spreads(Refined& refined, std::span<const float> mirrored, const pose::Skeleton& skeleton);

// coords_image_px holds the answers and becomes the poses that `trust` makes of them; fills uncertainty_image_px and
// expected_oks.
void apply_trust(Refined& refined, std::span<const Person> people, const trust::Trust& trust, image::CropSize size);

// Fills `kept`: per picture OKS-NMS with the crop boxes' areas and ranking_score(); everyone without a threshold.
// Candidates stand by descending pose score, as in the reference, which decides among equals.
void suppress(Refined& refined, std::span<const Person> people, const pose::Skeleton& skeleton,
              std::optional<double> threshold);

}  // namespace posefix::refine
