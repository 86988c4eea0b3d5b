#!/usr/bin/env python3
"""Splits a COCO annotation file: every Nth picture (by id order) is held out, for calibration.

  hold_out.py A.json [N]  ->  A.fit.json, A.held.json beside it or in --out
"""
import argparse
import json
import pathlib


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("annotations", type=pathlib.Path)
    parser.add_argument("--every", type=int, default=5)
    parser.add_argument("--out", type=pathlib.Path, help="folder; default: beside the file")
    arguments = parser.parse_args()
    data = json.loads(arguments.annotations.read_text())
    ids = sorted(image["id"] for image in data["images"])
    held = {image_id for position, image_id in enumerate(ids) if position % arguments.every == 0}
    folder = arguments.out or arguments.annotations.parent
    for suffix, keep in (("fit", False), ("held", True)):
        part = dict(data)
        part["images"] = [image for image in data["images"] if (image["id"] in held) == keep]
        part["annotations"] = [a for a in data["annotations"] if (a["image_id"] in held) == keep]
        path = folder / f"{arguments.annotations.stem}.{suffix}.json"
        path.write_text(json.dumps(part))
        print(f"{path}: {len(part['images'])} pictures, {len(part['annotations'])} people")


if __name__ == "__main__":
    main()
