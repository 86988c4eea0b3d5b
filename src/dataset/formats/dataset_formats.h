// The data sets that are read into an AnnotationSet, and written back where their format can hold what is read.
//
// Every reader takes the folder as it is unpacked and returns one set per split. Boxes and areas that a format lacks
// are made by the rule that its header names. Pictures are looked at for their size only, and only where they are
// there.
#pragma once

#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "dataset/formats/annotation_set.h"

namespace posefix::dataset::formats {

struct Split {
  std::string name;  // file name without .json: train, test, ...
  AnnotationSet set;
};

struct DatasetSource {
  std::filesystem::path folder;  // as unpacked; a single file is taken as well
  std::filesystem::path images;  // where the pictures lie; empty: folder/images when there is one
  ReadPictureSize picture_size;  // Error (bad input) if the picture cannot be read
};

struct Conversion {
  std::vector<Split> splits;
  std::vector<std::string> notes;  // what the user should know: "12 people without joints were left out"
};

using ReadDataset = Conversion (*)(const DatasetSource& source);
// Writes the format's own file or files into the folder `out` and returns notes.
using WriteDataset = std::vector<std::string> (*)(std::span<const Split> splits, const std::filesystem::path& out);

struct DatasetFormat {
  const char* name;      // mpii, posetrack, lsp, crowdpose, aic
  const char* skeleton;  // of its people
  ReadDataset read;
  WriteDataset write;
};

// Error (bad input) names the nearest format.
const DatasetFormat& dataset_format(const std::string& name);
std::vector<std::string> dataset_format_names();

// Makes the folder and those above it. Error (failed) says why it cannot.
void make_folder(const std::filesystem::path& folder);
// DatasetSource::images, or `folder`/images when that is a folder, or empty.
std::filesystem::path image_folder(const DatasetSource& source);
// Sets width and height from the picture's header if it is there. False if it is not.
bool measure(AnnotatedImage& image, const std::filesystem::path& folder, const ReadPictureSize& picture_size);
// The folder's files that end with `suffix`, sorted by name; below it too when `recursive`.
std::vector<std::filesystem::path> files_with_suffix(const std::filesystem::path& folder, std::string_view suffix,
                                                     bool recursive = false);

// "images/" where the name must be looked up in the folder above the pictures, "" where they lie in `folder` itself.
std::string picture_prefix(const DatasetSource& source, const std::string& example);

// The set's people and pictures appended; Error (bad input) if an id comes twice.
void append_set(AnnotationSet& to, AnnotationSet&& from, const std::string& from_name);

// `folder` itself if it is a file, else its annotations/*.json, else its *.json. Error (bad input) if there is none.
std::vector<std::filesystem::path> annotation_files(const std::filesystem::path& folder);
// Reads every annotation file as COCO form: the start of a way back.
std::vector<Split> read_coco_splits(const std::filesystem::path& folder, const std::string& skeleton);

}  // namespace posefix::dataset::formats
