"""Compute features of pictures once, for many trainings: of an encoder's grid, or of the boxes that a detector finds.

Of the data and the encoder of an experiment, into its data.loading.cache:
  extract_features.py --config configs/captioning/flickr8k.yaml --config configs/captioning/regions.yaml
Of any pictures (files, folders or globs), by a detector, a timm backbone, or the encoder of a checkpoint:
  extract_features.py --detector fasterrcnn_resnet50_fpn_v2 --out runs/cache/mine --boxes-jsonl boxes.jsonl photos
Of the files of bottom-up attention, which nobody can compute any more:
  extract_features.py --from-tsv trainval_36.tsv --name bottom-up-36 --out runs/cache/bottom-up data/coco/val2014

What is there already is not computed again. A picture that cannot be read is named and left out; exit code 2 then.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from captioning.data import CaptioningData
from common.attention import Grid
from common.commands import Complaints, Parser, at_least_one
from common.data.bottom_up import RegionFiles, RegionNpz, RegionTsv, find_id
from common.data.box_lines import write_box_lines
from common.data.extraction import extract
from common.data.features import FeatureCache
from common.data.images import find_images
from common.data.loading import Record
from common.data.module import SPLITS, PictureData
from common.data.records import CaptionRecord
from common.encoders import DetectorEncoder, ImageEncoder, StoredRegions, VisualEncoder
from common.encoders.detector import Limits
from common.errors import CheckpointError, ConfigError, DataError, ImageError, run_script
from common.files import writable_file, writable_folder
from common.training.checkpoints import build_encoder, read_checkpoint
from common.training.composition import compose
from common.training.parts import build
from vqa.data import VQAData

DEFAULTS = Limits()


def parse() -> argparse.Namespace:
    """The command line."""
    parser = Parser(__doc__)
    parser.add_argument("pictures", nargs="*", help="files, folders or globs; default: the data of --config")
    parser.add_argument("--config", action="append", default=[], metavar="FILE", help="an experiment, as for training")
    parser.add_argument("--split", nargs="+", choices=SPLITS, default=SPLITS, help="of the data; default all there are")
    parser.add_argument("--out", metavar="FOLDER", help="the cache; default: the one of --config")
    parser.add_argument("--boxes-jsonl", metavar="FILE", help="write the boxes there too, as data with boxes")
    makers = parser.add_mutually_exclusive_group()  # without one it is the encoder of --config
    makers.add_argument("--detector", metavar="NAME", help="a detector of torchvision")
    makers.add_argument("--backbone", metavar="NAME", help="a model of timm")
    makers.add_argument("--checkpoint", metavar="FILE", help="the image encoder of a model of either task")
    makers.add_argument("--from-tsv", nargs="+", metavar="FILE", help="regions in bottom-up attention's TSV")
    makers.add_argument("--from-npz", metavar="FOLDER", help="regions in one .npz for each picture")
    parser.add_argument("--name", help="of the regions in files, for common.encoders.StoredRegions")
    parser.add_argument("--weights", default="hub", help="of detector or backbone: hub (default), a file, or none")
    parser.add_argument(
        "--image-size", type=at_least_one, default=800, metavar="N", help="for the detector; default 800"
    )
    parser.add_argument("--threshold", type=float, default=DEFAULTS.threshold, help="the least score of a box")
    parser.add_argument("--fewest", type=int, default=DEFAULTS.fewest, metavar="N", help="boxes, whatever their score")
    parser.add_argument("--most", type=int, default=DEFAULTS.most, metavar="N", help="boxes")
    parser.add_argument("--dtype", choices=["float16", "float32"], default="float16", help="on disk; default float16")
    parser.add_argument("--batch-size", type=at_least_one, default=16, metavar="N", help="default 16")
    parser.add_device()
    return parser.parse_args()


def find_records(options: argparse.Namespace, config: dict[str, Any], complaints: Complaints) -> list[Record]:
    """The pictures that are named, or those of the experiment's data."""
    if not options.pictures:
        data = read_data(config)
        given = [split for split in options.split if data.sources[split] is not None]
        return [record for split in given for record in data.records(split)]
    paths: list[Path] = []
    for pattern in options.pictures:
        try:
            paths += find_images(pattern)
        except ImageError as fault:
            complaints(fault)
    return [CaptionRecord(path, path.name) for path in dict.fromkeys(paths)]


def read_data(config: dict[str, Any]) -> PictureData[Any, Any]:
    """The data of the experiment, of either task."""
    if not config.get("data"):
        raise ConfigError("no pictures: name files or folders, or give --config with an experiment")
    kind = CaptioningData if str(config["data"].get("class_path")).startswith("captioning.") else VQAData
    return build(config["data"], kind)


def find_cache(options: argparse.Namespace, config: dict[str, Any]) -> Path:
    """The folder to write to."""
    loading = config.get("data", {}).get("init_args", {}).get("loading", {})
    folder = options.out or loading.get("cache")
    if not folder:
        raise ConfigError("no folder to write to: give --out, or --config with data.init_args.loading.cache")
    return writable_folder(Path(folder))


def make_encoder(options: argparse.Namespace, config: dict[str, Any]) -> VisualEncoder:
    """The encoder that the options name, or else the experiment's."""
    weights = None if options.weights == "none" else options.weights
    if options.detector:
        limits = Limits(options.threshold, options.fewest, options.most)
        return DetectorEncoder(options.detector, weights, limits, options.image_size)
    if options.backbone:
        return ImageEncoder(options.backbone, weights=weights)
    if options.checkpoint:
        recipe = read_checkpoint(options.checkpoint).get("hyper_parameters", {}).get("encoder")
        if recipe is None:
            raise CheckpointError(f"{options.checkpoint} does not say what its image encoder is")
        return build_encoder(recipe, options.checkpoint)
    settings = config.get("model", {}).get("init_args", {})
    if "encoder" not in settings:
        raise ConfigError("no encoder: give --detector, --backbone, --checkpoint, or --config with an experiment")
    return build_encoder(settings["encoder"], settings.get("encoder_weights"))


def convert(
    options: argparse.Namespace, files: RegionFiles, records: Sequence[Record], folder: Path, complaints: Complaints
) -> FeatureCache:
    """Bring the regions in files into a cache."""
    if not options.name:
        raise ConfigError("stored regions need a --name, such as bottom-up-36, by which a model will ask for them")
    found = {record.image: find_id((str(record.image_id), record.image.stem), files.ids()) for record in records}
    ids = {image: image_id for image, image_id in found.items() if image_id is not None}
    if lacking := [image for image in found if image not in ids]:
        complaints(DataError(f"{len(lacking)} of {len(found)} pictures have no regions there, such as {lacking[0]}"))
    encoder = StoredRegions(options.name, files.dim)
    return FeatureCache.write(
        folder,
        encoder.fingerprint(),
        ids,
        lambda paths: files.encode(ids[path] for path in paths),
        options.dtype,
        options.batch_size,
        complaints,
    )


def describe(cache: FeatureCache, records: Sequence[Record]) -> str:
    """What there is now of the pictures."""
    images = dict.fromkeys(record.image for record in records)
    found = [cache.get(image) for image in images if image in cache]
    if not found:
        return f"none of {len(images)} pictures is in {cache.folder}"
    counts, layout = [len(each.keep) for each in found], found[0].layout
    where = f"{min(counts)} to {max(counts)} boxes"
    if isinstance(layout, Grid):
        where = f"{layout.height} x {layout.width} cells"
    return f"{len(found)} of {len(images)} pictures, {where} of {found[0].values.shape[1]} numbers, in {cache.folder}"


def main() -> None:
    """Extract, and say what there is; exit code 2 if a picture could not be used."""
    options = parse()
    complaints = Complaints()
    config = compose([part for file in options.config for part in ("--config", file)])
    folder = find_cache(options, config)
    if options.boxes_jsonl:
        writable_file(Path(options.boxes_jsonl))
    records = find_records(options, config, complaints)
    if not records:
        complaints.exit_if_any()
    if options.from_tsv or options.from_npz:
        files = RegionTsv(options.from_tsv, complaints) if options.from_tsv else RegionNpz(options.from_npz)
        cache = convert(options, files, records, folder, complaints)
    else:
        encoder = make_encoder(options, config).to(options.device).eval()
        if options.boxes_jsonl and not isinstance(encoder, DetectorEncoder):
            raise ConfigError("--boxes-jsonl is for the boxes of a detector, and this encoder is none")
        cache = extract(encoder, records, folder, options.dtype, options.batch_size, complaints)
    print(describe(cache, records))
    if options.boxes_jsonl:
        lines, root = write_box_lines(options.boxes_jsonl, records, cache)
        print(f"{lines} lines in {options.boxes_jsonl}; the names of pictures in them start from {root}")
    complaints.exit_if_any()


if __name__ == "__main__":
    run_script(main)
