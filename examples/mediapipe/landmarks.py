#!/usr/bin/env python3
"""Runs MediaPipe Pose on pictures and writes its landmarks for `posefix poses convert mediapipe`.

    pip install mediapipe==0.10.21
    python landmarks.py photo.jpg --out landmarks.json
    python landmarks.py FOLDER --out landmarks.json

MediaPipe 0.10.21 is the last release whose package holds the pose models; later ones ask for a model file of their own
(--model pose_landmarker_full.task, downloaded from Google). It finds one person per picture; pictures without one get an
entry without landmarks. x and y are divided by the picture's width and height; visibility becomes the joint's score.
"""
import argparse
import json
import sys
from pathlib import Path

import cv2
import mediapipe as mp

SUFFIXES = {".jpg", ".jpeg", ".png"}


def pictures_of(path):
    if path.is_dir():
        return sorted(p for p in path.rglob("*") if p.suffix.lower() in SUFFIXES), path
    return [path], path.parent


def solutions_detector():
    """The models inside the package: picture -> list of 33 landmarks or None."""
    pose = mp.solutions.pose.Pose(static_image_mode=True, model_complexity=1)

    def detect(rgb):
        found = pose.process(rgb).pose_landmarks
        return None if found is None else found.landmark

    return detect


def tasks_detector(model):
    """A .task file: picture -> list of 33 landmarks or None."""
    vision = mp.tasks.vision
    options = vision.PoseLandmarkerOptions(base_options=mp.tasks.BaseOptions(model_asset_path=str(model)))
    landmarker = vision.PoseLandmarker.create_from_options(options)

    def detect(rgb):
        found = landmarker.detect(mp.Image(image_format=mp.ImageFormat.SRGB, data=rgb)).pose_landmarks
        return found[0] if found else None

    return detect


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pictures", type=Path, help="a picture or a folder of pictures")
    parser.add_argument("--out", type=Path, required=True, help="landmarks.json")
    parser.add_argument("--model", type=Path, help="a pose_landmarker .task file instead of the package's models")
    arguments = parser.parse_args()

    detect = tasks_detector(arguments.model) if arguments.model else solutions_detector()
    paths, root = pictures_of(arguments.pictures)
    entries = []
    for path in paths:
        # The stored rows, EXIF orientation ignored: what posefix reads too.
        image = cv2.imread(str(path), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
        if image is None:
            print(f"{path}: cannot be read as a picture; skipped", file=sys.stderr)
            continue
        height, width = image.shape[:2]
        landmarks = detect(cv2.cvtColor(image, cv2.COLOR_BGR2RGB))
        if landmarks is None:
            print(f"{path}: nobody found", file=sys.stderr)
        persons = [] if landmarks is None else [
            [{"x": p.x, "y": p.y, "z": p.z, "visibility": p.visibility} for p in landmarks]]
        entries.append({"file_name": path.relative_to(root).as_posix(), "width": width, "height": height,
                        "pose_landmarks": persons})
    arguments.out.write_text(json.dumps(entries, indent=1))
    found = sum(1 for entry in entries if entry["pose_landmarks"])
    print(f"{arguments.out}: {found} people in {len(entries)} pictures")


if __name__ == "__main__":
    main()
