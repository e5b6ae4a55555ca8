"""Train the parameter part of the engine `face_params`, on top of a trained landmark network.

    python -m engines.face_params.train_parameters --data DIR --landmarks runs/landmarks/checkpoint.pt [--steps 6000]

What the landmark network sees of all training views is computed once (`parameter_views`). Writes to --out:
`parameters.pt` (weights, moving average, optimiser, step, settings), `parameters.csv`, `parameters.png` (picture, drawing,
difference). `--without` leaves a term or a kind of data out, for the ablation table of the model card.
"""

import argparse
import dataclasses
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from engines.face_params import data as portraits_data
from engines.face_params import parameter_views as views
from engines.face_params.arrays import Pixels
from engines.face_params.losses import pair_spreads
from engines.face_params.network import LandmarkNet
from engines.face_params.parameter_judge import judge
from engines.face_params.parameter_losses import DRAWN, Batch, ParameterLoss, Weights
from engines.face_params.parameter_net import ParameterNet
from engines.face_params.parametric_face import Parameters, ParametricFace, place
from engines.face_params.shards import Shards
from engines.face_params.train import MovingAverage, append, rate_at, save
from xpcam.face.model import face_model
from xpcam.tracking.crops import CROP

PARTS = ("photometric", "supervised", "warping", "consistency", "scores")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder with faces/ and faces_labels.npz")
    parser.add_argument("--landmarks", type=Path, required=True, help="checkpoint of the landmark network")
    parser.add_argument("--shards", type=Path, nargs="+", required=True, help="what label_warps wrote")
    parser.add_argument("--steps", type=int, default=6000)
    parser.add_argument("--portraits", type=int, default=6000, help="pairs of crops that are watched")
    parser.add_argument("--heads", type=int, default=1500, help="pairs of rendered heads that are watched")
    parser.add_argument("--quads", type=int, default=48, help="portraits a step; four views each")
    parser.add_argument("--rate", type=float, default=1e-3, help="highest learning rate")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--without", choices=PARTS, action="append", default=[], help="leave this out")
    parser.add_argument(
        "--watched", type=Path, help="file that keeps what was watched, made where it is missing"
    )
    parser.add_argument("--every", type=int, default=500, help="steps between judgements")
    parser.add_argument("--out", type=Path, default=Path("runs/parameters"))
    parser.add_argument("--start", type=Path, help="parameters.pt whose weights to go on from")
    return parser.parse_args()


def load_landmarks(path: Path) -> LandmarkNet:
    """The trained landmark network, its moving average."""
    network = LandmarkNet(torch.zeros(478, 3))
    network.backbone.freeze_early()
    network.load_state_dict(torch.load(path, weights_only=True)["average"])
    return network.eval().requires_grad_(False).to(memory_format=torch.channels_last)


def watched(options: argparse.Namespace) -> tuple[dict[str, views.Views], Tensor]:
    """The three kinds of training views and the test portraits' own; then `pair_spreads`."""
    if options.watched and options.watched.exists():
        kept = torch.load(options.watched, weights_only=True)
        spreads = kept.pop("spreads")
        return {name: views.Views(**part) for name, part in kept.items()}, spreads
    network = load_landmarks(options.landmarks)
    train, test = portraits_data.load(options.data)
    rng = np.random.default_rng(options.seed)
    shards, maker = Shards(options.shards), views.CropMaker(train, rng)
    warped, plain, tests = (
        min(options.portraits, len(shards) // 2),
        options.portraits // 3,
        len(test.pictures),
    )
    sources = {
        "plain": (maker.pairs(plain, warped=False), plain),
        "warped": (views.taught(shards, rng, warped), warped),
        "heads": (views.HeadMaker(train, rng).pairs(options.heads), options.heads),
        "test": (views.CropMaker(test, rng).pairs(tests, warped=False), tests),
    }
    parts = {name: views.watch(network, pairs, count, rng, name) for name, (pairs, count) in sources.items()}
    spreads = torch.from_numpy(pair_spreads(train.landmarks, train.people))
    if options.watched:
        torch.save(
            {**{name: vars_of(part) for name, part in parts.items()}, "spreads": spreads}, options.watched
        )
    return parts, spreads


def vars_of(part: views.Views) -> dict[str, Tensor]:
    return {f.name: getattr(part, f.name) for f in dataclasses.fields(part)}


def training_part(parts: dict[str, views.Views], without: list[str]) -> views.Views:
    kinds = ["plain"] + ["warped"] * ("warping" not in without) + ["heads"] * ("supervised" not in without)
    return views.join(*(parts[kind] for kind in kinds))


def weights_of(without: list[str]) -> Weights:
    return dataclasses.replace(Weights(), **{name: 0.0 for name in without if name != "warping"})


def run(network: nn.Module, batch: Batch) -> Parameters:
    return Parameters(*network(batch.near, batch.far, batch.seen))


def sheet(face: ParametricFace, output: Parameters, batch: Batch, count: int = 12) -> Pixels:
    """Rows: picture, drawing over it, drawing without texture, difference."""
    rows = torch.arange(0, len(batch.picture), max(1, len(batch.picture) // count))[:count]
    picked = Parameters(*(getattr(output, f.name)[rows] for f in dataclasses.fields(Parameters)))
    where = place(face.landmarks(picked), batch.landmarks[rows])
    with torch.no_grad():
        colour, seen, _ = face.draw(picked, where, DRAWN, CROP / DRAWN)
        bare = dataclasses.replace(picked, texture=torch.zeros_like(picked.texture))
        plain, _, _ = face.draw(bare, where, DRAWN, CROP / DRAWN)
    picture = batch.picture[rows]
    mask = seen[..., None]
    over, plain = (picture + (drawn - picture) * mask for drawn in (colour, plain))
    columns = [picture, over, plain, (over - picture).abs() * 3]
    grid = torch.cat([torch.cat(list(column), dim=1) for column in columns], dim=0)
    return np.asarray((grid.clamp(0, 1) * 255).numpy().astype(np.uint8))


def main() -> None:
    options = arguments()
    options.out.mkdir(parents=True, exist_ok=True)
    cv2.setNumThreads(1)
    torch.set_num_threads(options.threads)
    torch.manual_seed(options.seed)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    face = ParametricFace(face_model())
    parts, spreads = watched(options)
    train, test = training_part(parts, options.without), parts["test"]
    loss = ParameterLoss(face, spreads, weights_of(options.without)).to(device)
    network = ParameterNet(train.landmarks.mean(0)).to(device)
    if options.start:
        network.load_state_dict(torch.load(options.start, weights_only=True)["average"])
    average = MovingAverage(network)
    optimiser = torch.optim.AdamW(network.parameters(), lr=options.rate, weight_decay=0.02, betas=(0.9, 0.99))
    twin = ParameterNet(torch.zeros(478, 3)).to(device)
    bar = tqdm(range(options.steps + 1), unit="step", dynamic_ncols=True, mininterval=2.0)
    for step in bar:
        if step % options.every == 0 or step == options.steps:
            twin.load_state_dict(average.state)
            row = judge(twin.eval(), loss, test, device)
            append(options.out / "parameters.csv", {"step": step, **row})
            tqdm.write(f"step {step} " + " ".join(f"{key}={value:.3g}" for key, value in row.items()))
            with torch.no_grad():
                batch = test.batch(torch.arange(0, len(test) // 4, 8), device)
                cv2.imwrite(str(options.out / "parameters.png"), sheet(face, run(twin, batch), batch))
            settings = {key: str(value) for key, value in vars(options).items()}
            save(options.out / "parameters.pt", network=network.state_dict(), average=average.state,
                 optimiser=optimiser.state_dict(), step=step, settings=settings)  # fmt: skip
        for group in optimiser.param_groups:
            group["lr"] = rate_at(step / max(options.steps, 1), step, options.rate)
        batch = train.batch(torch.randint(len(train) // 4, (options.quads,)), device)
        network.train()
        terms = loss(run(network, batch), batch)
        optimiser.zero_grad(set_to_none=True)
        terms["total"].backward()
        nn.utils.clip_grad_norm_(network.parameters(), 5.0)
        optimiser.step()
        average.update(network, step)
        bar.set_postfix({key: f"{value.item():.3f}" for key, value in terms.items()}, refresh=False)
    print(
        f"{options.out}/parameters.pt: step {options.steps}, {len(train)} views; test "
        + ", ".join(f"{k} {v:.3g}" for k, v in row.items())
    )


if __name__ == "__main__":
    main()
