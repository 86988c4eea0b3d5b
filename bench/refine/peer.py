"""`posefix refine` as a Python program would do it: cv2 for the pictures, OpenVINO for the network, numpy between them.

The ONNX file that `posefix export --format onnx --batch 8` writes renders the pose and decodes the heat maps, so all of
it is OpenVINO's; it takes the crops as bytes. Two requests are in flight on as many streams (OpenVINO's throughput
hint), and a thread decodes and crops ahead of them. People of one picture follow each other; NMS is left out.
"""
import collections
import concurrent.futures
import json
import pathlib

import cv2
import numpy as np
import openvino

BATCH = 8  # rows: 4 people and their mirror images
MEAN_BGR = (123.68, 116.78, 103.94)  # as the network was made: the order is its reference's
COCO_FLIP = [0, 2, 1, 4, 3, 6, 5, 8, 7, 10, 9, 12, 11, 14, 13, 16, 15]
GROWTH, MARGIN = 1.2, 1.25


class Network:
    def __init__(self, onnx, threads):
        core = openvino.Core()
        steps = openvino.preprocess.PrePostProcessor(core.read_model(onnx))
        image = steps.input("image")
        image.tensor().set_element_type(openvino.Type.u8).set_layout(openvino.Layout("NHWC"))
        image.preprocess().convert_element_type(openvino.Type.f32).mean(list(MEAN_BGR))
        image.model().set_layout(openvino.Layout("NHWC"))
        self.model = core.compile_model(steps.build(), "CPU", {
            "PERFORMANCE_HINT": "THROUGHPUT", "INFERENCE_NUM_THREADS": threads, "INFERENCE_PRECISION_HINT": "f32"})
        shape = self.model.input("image").shape
        self.height, self.width = shape[1], shape[2]

    def queue(self, on_done):
        queue = openvino.AsyncInferQueue(self.model)
        queue.set_callback(on_done)
        return queue


def crop_transform(keypoints, height, width):
    """Affine map from picture to crop, and the crop's box x, y, w, h in the picture."""
    low, high = keypoints[:, :2].min(0), keypoints[:, :2].max(0)
    side = np.where(high > low, high - low, 20) * GROWTH
    middle = (low + high) / 2
    aspect = width / height
    w, h = max(side[0], side[1] * aspect), max(side[1], side[0] / aspect)
    w, h = w * MARGIN, h * MARGIN
    scale = width / w
    matrix = np.array([[scale, 0, width / 2 - scale * middle[0]], [0, scale, height / 2 - scale * middle[1]]])
    return matrix, (middle[0] - w / 2, middle[1] - h / 2, w, h)


def crops_of(path, people, height, width):
    """[(crop, pose in the crop, box)] of one picture's people."""
    picture = cv2.imread(str(path), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    rows = []
    for keypoints in people:
        matrix, box = crop_transform(keypoints, height, width)
        crop = cv2.warpAffine(picture, matrix, (width, height), flags=cv2.INTER_LINEAR)
        seen = keypoints[:, 2:] > 0
        pose = np.where(seen, keypoints[:, :2] @ matrix[:, :2].T + matrix[:, 2], keypoints[:, :2])
        rows.append((crop, pose.astype(np.float32), box))
    return rows


def refine(network, pictures, poses_file, annotations_file, out):
    poses = json.loads(pathlib.Path(poses_file).read_text())
    names = {i["id"]: i["file_name"] for i in json.loads(pathlib.Path(annotations_file).read_text())["images"]}
    chosen = [p for p in poses if p["image_id"] in names and p["score"] > 0]
    by_picture = collections.defaultdict(list)
    for index, entry in enumerate(chosen):
        by_picture[entry["image_id"]].append(index)
    height, width = network.height, network.width
    keypoints = [np.reshape(p["keypoints"], (-1, 3)) for p in chosen]
    answers = [None] * len(chosen)

    def finish(request, people):
        coords = request.get_tensor("coords").data
        for row, (index, (x, y, w, h)) in enumerate(people):
            first, mirrored = coords[2 * row], coords[2 * row + 1][COCO_FLIP]
            mean = (first + [width - 1, 0] + mirrored * [-1, 1]) / 2
            answers[index] = mean * [w / width, h / height] + [x, y]

    queue = network.queue(finish)
    valid = np.ones((BATCH, keypoints[0].shape[0]), np.float32)

    def submit(rows):
        image = np.zeros((BATCH, height, width, 3), np.uint8)
        pose = np.zeros((BATCH, valid.shape[1], 2), np.float32)
        for i, (_, (crop, joints, _)) in enumerate(rows):
            image[2 * i], pose[2 * i] = crop, joints
            image[2 * i + 1] = crop[:, ::-1]
            pose[2 * i + 1] = joints[COCO_FLIP] * [-1, 1] + [width - 1, 0]
        queue.start_async({"image": image, "pose": pose, "valid": valid}, [(index, row[2]) for index, row in rows])

    with concurrent.futures.ThreadPoolExecutor(1) as ahead:
        pending = collections.deque()
        todo = iter(by_picture.items())

        def read_ahead():
            for image_id, people in todo:
                task = ahead.submit(crops_of, pathlib.Path(pictures) / names[image_id], [keypoints[i] for i in people],
                                    height, width)
                pending.append((people, task))
                return

        for _ in range(2 * BATCH):
            read_ahead()
        rows = []
        while pending:
            people, task = pending.popleft()
            read_ahead()
            rows += zip(people, task.result())
            while len(rows) >= BATCH // 2:
                submit(rows[:BATCH // 2])
                rows = rows[BATCH // 2:]
        if rows:
            submit(rows)
    queue.wait_all()
    results = [{**entry, "keypoints": np.column_stack([answer, np.ones(len(answer))]).ravel().round(3).tolist()}
               for entry, answer in zip(chosen, answers)]
    pathlib.Path(out).write_text(json.dumps(results))
    return len(results)
