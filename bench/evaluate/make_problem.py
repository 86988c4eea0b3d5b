#!/usr/bin/env python3
"""Builds an evaluation problem of val2017's size from the shipped slice: 5,000 images, about 11,000 people and 98,000
detections (44 MB). Each copy of the slice gets new ids; detections are repeated with noise until there are enough.

Usage: make_problem.py SLICE_ANNOTATIONS SLICE_RESULTS OUT_FOLDER
"""
import json
import os
import random
import sys

IMAGES, DETECTIONS = 5000, 98000


def main(annotations_file, results_file, out):
    annotations = json.load(open(annotations_file))
    results = json.load(open(results_file))
    rng = random.Random(1)
    by_image = {}
    for result in results:
        by_image.setdefault(result["image_id"], []).append(result)
    people = {}
    for annotation in annotations["annotations"]:
        people.setdefault(annotation["image_id"], []).append(annotation)
    images, new_annotations, detections = [], [], []
    while len(images) < IMAGES:
        for image in annotations["images"]:
            if len(images) == IMAGES:
                break
            image_id = len(images) + 1
            images.append({**image, "id": image_id})
            for annotation in people.get(image["id"], []):
                new_annotations.append({**annotation, "id": len(new_annotations) + 1, "image_id": image_id})
            for result in by_image.get(image["id"], []):
                detections.append({**result, "image_id": image_id})
    base = list(detections)
    while len(detections) < DETECTIONS:
        result = rng.choice(base)
        keypoints = [round(v + rng.gauss(0, 8), 3) if i % 3 < 2 else v for i, v in enumerate(result["keypoints"])]
        detections.append({**result, "keypoints": keypoints, "score": round(rng.random() * result["score"], 6)})
    rng.shuffle(detections)
    detections = detections[:DETECTIONS]
    os.makedirs(out, exist_ok=True)
    json.dump({**annotations, "images": images, "annotations": new_annotations},
              open(os.path.join(out, "annotations.json"), "w"))
    json.dump(detections, open(os.path.join(out, "results.json"), "w"))
    print(f"{len(images)} images, {len(new_annotations)} people, {len(detections)} detections")


if __name__ == "__main__":
    main(*sys.argv[1:])
