#!/usr/bin/env python3
"""Takes the freely licensed pictures out of a COCO-style folder: how examples/coco-mini was made.

    python3 examples/select_pictures.py --from COCO --to examples/coco-mini

COCO is laid out as the original: annotations/person_keypoints_{train,val}2017.json, images/{train,val}2017/*.jpg,
and the estimator's results in input_pose/*val*.json (val) and input_pose/test_on_trainset/*.json (train). Of the
pictures only those are taken whose licence, as COCO states it, allows passing them on: attribution (4),
attribution-share-alike (5), no known copyright restrictions (7), work of the United States' government (8).
Entries keep their order and all their fields. The script also writes ORIGIN.md: each picture, where it came from,
and its terms.
"""

import argparse
import json
import pathlib
import shutil

FREE_LICENCES = {4, 5, 7, 8}


def write_json(path, value):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, separators=(",", ":")) + "\n")


def select_split(source, target, split):
    name = f"person_keypoints_{split}2017.json"
    annotations = json.loads((source / "annotations" / name).read_text())
    images = [image for image in annotations["images"] if image["license"] in FREE_LICENCES]
    ids = {image["id"] for image in images}
    annotations["images"] = images
    annotations["annotations"] = [person for person in annotations["annotations"] if person["image_id"] in ids]
    write_json(target / "annotations" / name, annotations)

    folder = f"images/{split}2017"
    (target / folder).mkdir(parents=True, exist_ok=True)
    for image in images:
        shutil.copyfile(source / folder / image["file_name"], target / folder / image["file_name"])

    poses = pathlib.Path("input_pose") / ("test_on_trainset" if split == "train" else "")
    for file in sorted((source / poses).glob("*.json")):
        entries = [entry for entry in json.loads(file.read_text()) if entry["image_id"] in ids]
        write_json(target / poses / file.name, entries)
    return annotations


HEADER = """# Origin of these pictures

A part of COCO 2017 (https://cocodataset.org): the pictures of a small subset whose licence, as COCO's annotation
files state it, allows passing them on. Chosen and copied unchanged by `examples/select_pictures.py`.

- Annotations (`annotations/`): COCO Consortium, CC BY 4.0 (https://creativecommons.org/licenses/by/4.0/), cut down to
  these pictures.
- Input poses (`input_pose/`): results of MediaPipe Pose (full, 0.10.21) on these pictures; the annotated box times 1.25
  was cropped and scaled, `score` is the mean visibility. People whom it did not find have no entry.
- Pictures (`images/`): by their photographers on Flickr, under the terms in the table.

| file | from | licence | terms |
|---|---|---|---|
"""


def write_origin(target, splits):
    rows = []
    for split, annotations in splits.items():
        licences = {licence["id"]: licence for licence in annotations["licenses"]}
        for image in sorted(annotations["images"], key=lambda image: image["file_name"]):
            licence = licences[image["license"]]
            rows.append(f"| images/{split}2017/{image['file_name']} | {image['flickr_url']} "
                        f"| {licence['name']} | {licence['url']} |\n")
    (target / "ORIGIN.md").write_text(HEADER + "".join(rows))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--from", dest="source", type=pathlib.Path, required=True)
    parser.add_argument("--to", dest="target", type=pathlib.Path, required=True)
    options = parser.parse_args()
    splits = {split: select_split(options.source, options.target, split) for split in ("train", "val")}
    write_origin(options.target, splits)
    for split, annotations in splits.items():
        print(f"{split}: {len(annotations['images'])} pictures, {len(annotations['annotations'])} people")


if __name__ == "__main__":
    main()
