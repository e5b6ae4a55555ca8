"""video2images and images2video: clips to pictures and back."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from xpcam.commands.bars import bar
from xpcam.errors import SettingsError

Force = Annotated[bool, typer.Option("--force", help="write over what is there")]
Every = Annotated[int, typer.Option(help="take one of so many", min=1, max=100_000)]


def video2images(
    video: Annotated[Path, typer.Argument(help="video to read")],
    folder: Annotated[Path, typer.Argument(help="folder to write, empty or not there", metavar="DIR")],
    every: Every = 1,
    fps: Annotated[
        float, typer.Option(help="at most so many pictures of a second; 0: all", min=0, max=1000)
    ] = 0.0,
    layout: Annotated[
        Literal["png", "jpg"], typer.Option("--format", help="png keeps every pixel, jpg is a tenth as large")
    ] = "png",
    force: Force = False,
) -> None:
    """Write the pictures of a video into a folder, by the number of each frame."""
    from xpcam import video_images

    with bar("reading") as progress:
        done = video_images.to_images(video, folder, progress, every=every, fps=fps, kind=layout, force=force)
    print(f"{folder}: {done.count} pictures of {done.size[0]}x{done.size[1]}")
    sound = f" --sound {video}" if done.sound else ""
    print(f"back to a video: xpcam images2video {folder} NAME.mp4 --fps {done.fps:.6g}{sound}")


def images2video(
    folder: Annotated[Path, typer.Argument(help="folder of pictures", metavar="DIR")],
    video: Annotated[Path, typer.Argument(help="video to write (.mp4, .mkv, .mov)")],
    fps: Annotated[float, typer.Option(help="pictures per second", min=0.1, max=240)] = 25.0,
    every: Every = 1,
    size: Annotated[
        str | None, typer.Option(help="fit each picture into it; else all have one size", metavar="WxH")
    ] = None,
    sound: Annotated[
        Path | None, typer.Option(help="video or sound file whose sound goes along", metavar="FILE")
    ] = None,
    force: Force = False,
) -> None:
    """Make a video of the pictures in a folder, in the order of their names, 2 before 10."""
    from xpcam import video_images
    from xpcam.settings import load_settings

    if size == "":
        raise SettingsError("--size: found nothing, wanted WIDTHxHEIGHT; change or remove it")
    fitted = None if size is None else load_settings({"size": size}).size
    with bar("writing") as progress:
        done = video_images.to_video(
            folder, video, progress, fps=fps, every=every, size=fitted, sound=sound, force=force
        )
    print(f"{video}: {done.count} pictures of {done.size[0]}x{done.size[1]}, {done.count / fps:.2f} s")
