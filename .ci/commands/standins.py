"""Small data and weights under the names that the docs use."""

import array
import pathlib
import shutil
import struct
import subprocess
import tarfile
import zlib

from shim import FEW, tiny


def png(path, rows, bits):
    """A grey PNG of 8 or 16 bits."""
    code = {8: "B", 16: "H"}[bits]
    lines = b"".join(b"\0" + struct.pack(f">{len(row)}{code}", *row) for row in rows)
    header = struct.pack(">IIBBBBB", len(rows[0]), len(rows), bits, 0, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(lines)), (b"IEND", b"")]
    chunks = [struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(chunks))


def npy(path, shape, seed):
    """An array of f32 that is not all the same."""
    count = shape[0] * shape[1] * shape[2]
    values = array.array("f", ((at * 37 + seed * 11) % 101 / 101 for at in range(count)))
    header = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}"
    header = header.ljust(117) + "\n"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode() + values.tobytes())


class Maker:
    def __init__(self, home, ijepa):
        self.home, self.ijepa = home, ijepa

    def run(self, text):
        subprocess.run([self.ijepa, "--quiet", *text.split()], cwd=self.home, check=True, stdout=subprocess.DEVNULL)

    def pictures(self, count, side=64):
        """Files of rendered pictures."""
        packed = self.home / "packed"
        self.run(f"data pack --data scenes:n={count},size={side} --to tar --out {packed}")
        with tarfile.open(packed / "shard-00000.tar") as shard:
            shard.extractall(packed, filter="data")
        return sorted(packed.glob("*.png"))

    def folders(self, pictures):
        def copy(place, number):
            place = self.home / place
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(pictures[number % len(pictures)], place)

        for number in range(40):
            copy(f"photos/{number:03}.png", number)
            copy(f"frames/{number:05}.png", number)
            for data in ["flowers", "imagenet", "clothing"]:
                for part in ["train", "test", "val"]:
                    copy(f"{data}/{part}/{'ab'[number % 2]}/{number}.png", number)
            for data, classes in [("fields", "mw"), ("more-fields", "mw"), ("five/train", "ab"), ("five/test", "ab")]:
                npy(self.home / data / classes[number % 2] / f"{number:04}.npy", (32, 32, 5), number)
            for part in ["train", "test"]:
                rows = [[(x * y + 9 * number) % 256 for x in range(32)] for y in range(32)]
                png(self.home / "grey" / part / "ab"[number % 2] / f"{number}.png", rows, 8)
        for number, name in enumerate(["photo.jpg", "one.jpg", "two.png", "dog.jpg", "cat.png"]):
            copy(name, number)

    def voc(self, pictures):
        for data in ["VOC2012", "indoor"]:
            root = self.home / data
            for part, numbers in [("train", range(8)), ("val", range(8, 12))]:
                names = [f"{number:06}" for number in numbers]
                for number, name in zip(numbers, names):
                    (root / "JPEGImages").mkdir(parents=True, exist_ok=True)
                    shutil.copy(pictures[number], root / f"JPEGImages/{name}.jpg")
                    png(root / f"SegmentationClass/{name}.png", [[x // 16 % 3 for x in range(64)]] * 64, 8)
                    png(root / f"Depth/{name}.png", [[500 + 40 * x for x in range(64)]] * 64, 16)
                lists = root / "ImageSets/Segmentation"
                lists.mkdir(parents=True, exist_ok=True)
                (lists / f"{part}.txt").write_text("\n".join(names) + "\n")

    def cifar10(self):
        """In both layouts, and under both names that pages use."""
        for part, seed in [("train", 1), ("test", 2)]:
            packed = self.home / part
            self.run(f"data pack --data scenes:n=160,size=32,seed={seed} --to parquet --name {part} --out {packed}")
        for data in ["cifar10", "cifar-10"]:
            folder = self.home / data
            folder.mkdir()
            for number, name in enumerate([*(f"data_batch_{n}" for n in range(1, 6)), "test_batch"]):
                values = lambda record: bytes((record * 7 + at * (number + 3)) % 251 for at in range(3072))
                records = b"".join(bytes([record % 10]) + values(record) for record in range(40))
                (folder / f"{name}.bin").write_bytes(records)
            for part in ["train", "test"]:
                for file in (self.home / part).glob("*.parquet"):
                    shutil.copy(file, folder)

    def weights(self):
        """A run that stands for runs that no page makes, and files of published names."""
        common = f"--max-steps 2 --set {' '.join(FEW)}"
        data = "--data scenes:n=40,size=32"
        self.run(f"pretrain --recipe cifar10_vit_nano {data} --out standin {common}")
        for recipe, name in [("in1k_vith14_ep300", "IN1K-vit.h.14-300e"), ("in1k_vitb16_ep600", "vitb16")]:
            self.run(f"pretrain --recipe {recipe} {data} --out {recipe} {common} {' '.join(tiny(recipe))}")
            self.run(f"convert {recipe} {name}.pth.tar --to official")
        self.run("convert in1k_vith14_ep300 vith14-hf --to hf")


def make(home, ijepa):
    """Fills the new folder `home`."""
    pathlib.Path(home).mkdir()
    maker = Maker(home, ijepa)
    pictures = maker.pictures(40)
    maker.folders(pictures)
    maker.voc(pictures)
    maker.cifar10()
    maker.weights()
