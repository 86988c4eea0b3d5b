"""The training step of the same network in PyTorch's eager mode: samples per second of CPU time.

  peer.py HEIGHTxWIDTH BATCH THREADS STEPS VARIANT...
A variant is f32 or bf16 (autocast), with "+channels_last" if wanted. One step of each warms up; of the others the
fastest counts. The step: crops of bytes to float less the mean, input heat maps, ResNet-50 and three transposed
convolutions, batch norm with batch statistics, both losses, backward pass, Adam (fused) with an L2 term.
"""
import sys
import time

import torch
from torch import nn
from torch.nn import functional

JOINTS = 17
STRIDE = 4
MEAN_BGR = (102.9801, 115.9465, 122.7717)


def conv_bn(inputs, outputs, kernel, stride=1):
    return nn.Sequential(nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False), nn.BatchNorm2d(outputs))


class Bottleneck(nn.Module):
    def __init__(self, inputs, channels, stride):
        super().__init__()
        self.first = conv_bn(inputs, channels, 1)
        self.second = conv_bn(channels, channels, 3, stride)
        self.third = conv_bn(channels, 4 * channels, 1)
        plain = inputs == 4 * channels and stride == 1
        self.shortcut = nn.Identity() if plain else conv_bn(inputs, 4 * channels, 1, stride)

    def forward(self, x):
        y = functional.relu(self.first(x), inplace=True)
        y = functional.relu(self.second(y), inplace=True)
        return functional.relu(self.third(y) + self.shortcut(x), inplace=True)


def network():
    layers = [conv_bn(3 + JOINTS, 64, 7, 2), nn.ReLU(inplace=True), nn.MaxPool2d(3, 2, 1)]
    inputs = 64
    for block, units in enumerate((3, 4, 6, 3)):
        for unit in range(units):
            channels = 64 << block
            layers.append(Bottleneck(inputs, channels, 2 if unit == 0 and block > 0 else 1))
            inputs = 4 * channels
    for _ in range(3):
        layers += [nn.ConvTranspose2d(inputs, 256, 4, 2, 1, bias=False), nn.BatchNorm2d(256), nn.ReLU(inplace=True)]
        inputs = 256
    layers.append(nn.Conv2d(inputs, JOINTS, 1))
    return nn.Sequential(*layers)


def bump(position, size, sigma):
    """[B,K] -> [B,K,size]"""
    return torch.exp(-((torch.arange(size) - position.unsqueeze(2)) ** 2) / (2 * sigma * sigma))


def one_hot(position, size):
    """[B,K] heat map px -> [B,K,size]: the two cells around it, bilinear."""
    return (1 - (torch.arange(size) - position.unsqueeze(2)).abs()).clamp(min=0)


def expected(probability, height, width):
    maps = probability.view(*probability.shape[:2], height, width)
    x = (maps.sum(2) * torch.arange(width)).sum(2)
    y = (maps.sum(3) * torch.arange(height)).sum(2)
    return torch.stack((x, y), 2)


class Step:
    def __init__(self, variant, height, width):
        torch.manual_seed(1)
        self.low = variant.startswith("bf16")
        self.channels_last = variant.endswith("+channels_last")
        self.height, self.width = height, width
        self.network = network().train()
        if self.channels_last:
            self.network = self.network.to(memory_format=torch.channels_last)
        self.adam = torch.optim.Adam(self.network.parameters(), 1e-4, weight_decay=1e-5, fused=True)

    def inputs(self, crops, pose):
        image = crops.permute(0, 3, 1, 2).float() - torch.tensor(MEAN_BGR).view(1, 3, 1, 1)
        sigma = 7 * self.height / 256
        across = bump(pose[:, :, 0], self.width, sigma)
        down = bump(pose[:, :, 1], self.height, sigma) * 255
        x = torch.cat((image, down.unsqueeze(3) * across.unsqueeze(2)), 1)
        return x.contiguous(memory_format=torch.channels_last) if self.channels_last else x.contiguous()

    def __call__(self, crops, pose):
        self.adam.zero_grad(set_to_none=True)
        with torch.autocast("cpu", torch.bfloat16, enabled=self.low):
            logits = self.network(self.inputs(crops, pose))
        logits = logits.float()
        height, width = logits.shape[2:]
        place = pose / STRIDE
        target = (one_hot(place[:, :, 1], height).unsqueeze(3) * one_hot(place[:, :, 0], width).unsqueeze(2)).flatten(2)
        log_probability = functional.log_softmax(logits.flatten(2), 2)
        loss = -(log_probability * target).sum(2).mean()
        loss = loss + (expected(log_probability.exp(), height, width) - place).abs().mean()
        loss.backward()
        self.adam.step()
        return loss.item()


def main():
    size, batch, threads, steps = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
    torch.set_num_threads(threads)
    height, width = map(int, size.split("x"))
    crops = torch.randint(0, 256, (batch, height, width, 3), dtype=torch.uint8)
    pose = torch.rand(batch, JOINTS, 2) * width
    for variant in sys.argv[5:]:
        step = Step(variant, height, width)
        best = float("inf")
        for i in range(steps + 1):
            begin = time.process_time()
            step(crops, pose)
            if i > 0:
                best = min(best, (time.process_time() - begin) / threads)
        print(f"{variant} {batch / best:.4f} samples/s, PyTorch {torch.__version__}", flush=True)


if __name__ == "__main__":
    main()
