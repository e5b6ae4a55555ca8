"""Command-line flags, made from the settings model: spelling, help, default and bounds have one source."""

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from xpcam.service import journal
from xpcam.settings import Settings, load_settings, wanted

Command = Callable[..., None]


def takes(*names: str, **required: tuple[str, str]) -> Callable[[Command], Command]:
    """Give a command a flag for each named setting, and `settings` from file, environment and flags.

    `required` are settings that this command must be given, each with the flag and the meaning that it has
    there. Parameters of the command's own stay as they are.
    """

    def decorate(command: Command) -> Command:
        own = [item for item in inspect.signature(command).parameters.values() if item.name != "settings"]

        def run(*, config: Path | None, **values: Any) -> None:
            flags = {name: value for name in (*names, *required) if (value := values.pop(name)) is not None}
            settings = load_settings(flags, config=config)
            journal.begin(settings.log_level, file=settings.log_file)
            command(settings=settings, **values)

        flags = [_flag(name) for name in names] + [_required(name, *said) for name, said in required.items()]
        parameters = [item.replace(kind=item.KEYWORD_ONLY) for item in (*own, *flags, _config_flag())]
        run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        run.__annotations__ = {item.name: item.annotation for item in parameters}
        run.__name__, run.__doc__ = command.__name__, command.__doc__
        return run

    return decorate


def _flag(name: str) -> inspect.Parameter:
    """The flag of one setting, all from its declaration. Values stay text: `load_settings` converts them."""
    info = Settings.model_fields[name]
    extra: Any = info.json_schema_extra
    takes_text = info.annotation in (str, bool) or wanted(name) == "a path"
    facts = ["" if takes_text else wanted(name), extra["unit"], _default(info.default)]
    described = f"{info.description} ({'; '.join(fact for fact in facts if fact)})".removesuffix(" ()")
    plain = name.replace("_", "-")
    if info.annotation is bool:
        return _parameter(name, bool | None, f"--{plain}/--no-{plain}", described)
    return _parameter(name, str | None, f"--{plain}", described, _metavar(name))


def _required(name: str, flag: str, meaning: str) -> inspect.Parameter:
    return _parameter(name, str, flag, meaning, _metavar(name)).replace(default=inspect.Parameter.empty)


def _parameter(
    name: str, kind: Any, flag: str, described: str, metavar: str | None = None
) -> inspect.Parameter:
    option = typer.Option(flag, help=described, metavar=metavar, show_default=False)
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[kind, option]
    )


def _config_flag() -> inspect.Parameter:
    meaning = "settings file (TOML) in place of ~/.config/xpcam/config.toml"
    return _parameter("config", Path | None, "--config", meaning, "FILE")


def _metavar(name: str) -> str:
    kind = Settings.model_fields[name].annotation
    if kind in (int, float):
        return "NUMBER"
    return {"size": "WxH", "target": "FILE", "output": "WHERE", "contact_sheet": "FILE"}.get(name, "NAME")


def _default(value: object) -> str:
    if value is None:
        return ""
    return f"default {'on' if value is True else 'off' if value is False else value}"
