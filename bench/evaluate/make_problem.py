#!/usr/bin/env python3
"""Builds an evaluation problem of val2017's size from the shipped slice: 5,000 images, about 11,000 people with a
polygon each and 98,000 detections (51 MB). Each copy of the slice gets new ids; the pictures that are left when there
are enough people stay empty; detections are repeated with noise, half of them on any picture, until there are enough.

Usage: make_problem.py SLICE_ANNOTATIONS SLICE_RESULTS OUT_FOLDER
"""
import json
import math
import os
import random
import sys

IMAGES, PEOPLE, DETECTIONS = 5000, 11004, 98000


def polygon(bbox):
    """A closed line of 20 points within the box, as long in text as most of COCO's."""
    x, y, w, h = bbox
    ring = [(x + w / 2 * (1 + math.cos(a)), y + h / 2 * (1 + math.sin(a))) for a in (k * math.pi / 10 for k in range(20))]
    return [[round(v, 2) for point in ring for v in point]]


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
            if len(new_annotations) >= PEOPLE:
                continue
            for annotation in people.get(image["id"], []):
                new_annotations.append({"segmentation": polygon(annotation["bbox"]), **annotation,
                                        "id": len(new_annotations) + 1, "image_id": image_id})
            for result in by_image.get(image["id"], []):
                detections.append({**result, "image_id": image_id})
    base = list(detections)
    while len(detections) < DETECTIONS:
        result = rng.choice(base)
        keypoints = [round(v + rng.gauss(0, 8), 3) if i % 3 < 2 else v for i, v in enumerate(result["keypoints"])]
        image_id = result["image_id"] if rng.random() < 0.5 else rng.randint(1, IMAGES)
        detections.append({**result, "image_id": image_id, "keypoints": keypoints,
                           "score": round(rng.random() * result["score"], 6)})
    detections = detections[:DETECTIONS]
    place = list(range(IMAGES + 1))
    rng.shuffle(place)
    detections.sort(key=lambda result: place[result["image_id"]])  # picture by picture, as estimators write them
    os.makedirs(out, exist_ok=True)
    json.dump({**annotations, "images": images, "annotations": new_annotations},
              open(os.path.join(out, "annotations.json"), "w"))
    json.dump(detections, open(os.path.join(out, "results.json"), "w"))
    print(f"{len(images)} images, {len(new_annotations)} people, {len(detections)} detections")


if __name__ == "__main__":
    main(*sys.argv[1:])
