"""The golden persons as every runtime wants them, and what the answer should be."""
import numpy as np
from safetensors.numpy import load_file

MEAN_BGR = np.array([123.68, 116.78, 103.94])


class Persons:
    def __init__(self, path):
        golden = load_file(path)
        self.image = (golden["image_u8"].astype(np.float64) - MEAN_BGR).astype(np.float32)
        self.pose = golden["pose"]
        self.valid = golden["valid"]
        self.coords_heatmap_px = golden["coord_heatmap_px"]
        self.coords_crop_px = golden["coord_crop_px"]
        self.logits_of_first = golden["logits_0"]

    def batch(self, size):
        """Persons repeated to a batch: image, pose, valid, and their indices."""
        index = np.arange(size) % len(self.pose)
        return self.image[index], self.pose[index], self.valid[index], index


def mirrored(persons_batch, mirror):
    """The flip test's second half: picture and pose mirrored, left and right joints swapped."""
    image, pose, valid = persons_batch
    width = image.shape[2]
    flipped = pose[:, mirror].copy()
    flipped[:, :, 0] = width - 1 - flipped[:, :, 0]
    return np.ascontiguousarray(image[:, :, ::-1]), flipped, valid[:, mirror]


class Report:
    """Prints every difference; remembers whether one passed its tolerance."""

    def __init__(self):
        self.failures = 0

    def compare(self, what, got, expected, tolerance, unit):
        difference = float(np.max(np.abs(np.asarray(got, np.float64) - expected))) if np.shape(got) == np.shape(
            expected) else float("inf")
        good = difference <= tolerance
        self.failures += not good
        print(f"{'ok  ' if good else 'FAIL'} {what:<64} {difference:10.3g} {unit} (at most {tolerance:g})", flush=True)

    def require(self, what, good, detail=""):
        self.failures += not good
        print(f"{'ok  ' if good else 'FAIL'} {what:<64} {detail}", flush=True)
