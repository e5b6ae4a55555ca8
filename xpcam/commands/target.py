"""xpcam target: the gallery, and what is on show."""

import json
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Literal

import typer

from xpcam.commands.running import DEFAULT, READING, Name
from xpcam.errors import SettingsError

app = typer.Typer(help="Keep targets by name, and change what a run shows.", no_args_is_help=True)

AsJson = Annotated[bool, typer.Option("--json", help="print JSON instead of lines")]


@app.command()
def add(
    files: Annotated[list[Path], typer.Argument(help="pictures or clips")],
    called: Annotated[
        str | None, typer.Option("--as", help="its name; made of the file's without it", metavar="NAME")
    ] = None,
    engine: Annotated[
        Literal["mesh", "x2face"] | None,
        typer.Option(help="x2face: embed the face of a picture, too, so that a start need not"),
    ] = None,
    backbone: Annotated[
        Literal["unet", "unet3plus"] | None, typer.Option(help="with which networks of x2face")
    ] = None,
) -> None:
    """Prepare pictures or clips once and keep them; the file may go afterwards."""
    from xpcam.builders import embedder_of, open_loader, open_tracker
    from xpcam.gallery import targets
    from xpcam.gallery.store import name_for
    from xpcam.progress import unseen
    from xpcam.settings import load_settings
    from xpcam.steering import look_of
    from xpcam.x2face.animated import check_kind, embed, the_still

    if called is not None and len(files) > 1:
        raise SettingsError(f"--as {called} for {len(files)} files: wanted one file, or no --as")
    given = {"engine": engine, "backbone": backbone}
    settings = load_settings({name: value for name, value in given.items() if value is not None})
    loader = open_loader(settings)
    with ExitStack() as stack:
        tracker = stack.enter_context(open_tracker(settings))
        for file in files:
            name = called or name_for(file)
            check_kind(file, settings.engine)
            entry = targets.add(loader.store, name, file, settings.size, tracker, loader.reader, unseen)
            print(f"{entry.name}: {entry.kind}, from {entry.source}")
            if settings.engine == "x2face":
                target = targets.load(entry, settings.size, tracker, loader.reader, unseen)
                embed(the_still(target), embedder_of(settings), look_of(settings))
                print(f"{entry.name}: its face is embedded for x2face, {settings.backbone}")


@app.command("list")
def list_all(as_json: AsJson = False) -> None:
    """List the targets, in the order of `next`."""
    from xpcam.target_loader import default_store

    entries = default_store().entries()
    if as_json:
        print(json.dumps([{"name": one.name, "kind": one.kind, "source": one.source} for one in entries]))
        return
    for one in entries:
        print(f"{one.name:<20} {one.kind:<6} {one.source}")
    if not entries:
        print("no targets yet: 'xpcam target add face.png'")


@app.command()
def show(name: Annotated[str, typer.Argument(help="a target")]) -> None:
    """Say what is known of a target, and where its thumbnail is."""
    from xpcam.target_loader import default_store

    one = default_store().get(name)
    print(f"name       {one.name}\nkind       {one.kind}\nsource     {one.source}\nadded      {one.added}")
    print(f"file       {one.original}\nthumbnail  {one.thumbnail}")


@app.command()
def remove(names: Annotated[list[str], typer.Argument(help="targets")]) -> None:
    """Remove targets from the gallery; what a run shows stays on show."""
    from xpcam.target_loader import default_store

    for name in names:
        default_store().remove(name)
        print(f"{name}: removed")


@app.command()
def use(
    target: Annotated[str, typer.Argument(help="a target of the gallery, or a file")], name: Name = DEFAULT
) -> None:
    """Show another target, at once; where it cannot be used, the old one stays."""
    from xpcam.control.client import Client, absolute

    shown = Client(name).ask("PUT", "/target", {"target": absolute(target)}, patience=READING)
    print(f"on show: {shown['target']}")


@app.command("next")
def show_next(name: Name = DEFAULT) -> None:
    """Show the next target of the gallery, or of the folder that is on show."""
    from xpcam.control.client import Client

    print(f"on show: {Client(name).ask('POST', '/target/next', patience=READING)['target']}")
