"""Rules of the house that no other tool checks."""

import ast
import re
import tomllib
from pathlib import Path

import pytest

from xpcam import __version__, cli, errors, resources
from xpcam.settings import Settings, load_settings

ROOT = Path(__file__).parent.parent
MODULES = sorted((ROOT / "xpcam").rglob("*.py"))
SOURCES = sorted(path for folder in ("xpcam", "engines", "tests") for path in (ROOT / folder).rglob("*.py"))
TRAINING = {"torch", "engines", "onnx", "anny", "mediapipe", "scipy", "tqdm", "openpeople"}
README = (ROOT / "README.md").read_text(encoding="utf-8")
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def imported(path: Path) -> set[str]:
    """Top-level names of everything a module imports, inside functions too."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add((node.module or "").partition(".")[0])
    return found


IN_ORDER = """
    errors frame resources progress file_lock devices service warping face eyes inference
    camera tracking retargeting mouth target rendering x2face virtual_camera meter pipeline
    output_switch gallery rehearsal contracts contact_sheet device_report inspect pacing contention
    governor setting_types settings flags signals doctor demand standstill target_loader steering builders
    live wiring control daemon offline bench video_images commands machine_commands cli __main__
"""
LAYERS = IN_ORDER.split()


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_the_product_imports_nothing_of_training(path: Path) -> None:
    assert not imported(path) & TRAINING


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_a_package_imports_only_what_stands_before_it(path: Path) -> None:
    inside = path.relative_to(ROOT / "xpcam").with_suffix("").parts
    own = LAYERS.index(inside[0]) if inside[0] != "__init__" else -1
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.ImportFrom) or not (node.module or "").startswith("xpcam"):
            continue
        parts = node.module.split(".") if node.module else []
        names = parts[1:2] or [alias.name for alias in node.names if alias.name != "__version__"]
        assert all(LAYERS.index(name) <= own for name in names), ast.unparse(node)


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_modules_stay_readable(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 300


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_no_broad_except_and_no_pickle(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    caught = [node.type for node in ast.walk(tree) if isinstance(node, ast.ExceptHandler)]
    assert not [
        kind for kind in caught if kind is None or ast.unparse(kind) in ("Exception", "BaseException")
    ]
    assert not imported(path) & {"pickle", "shelve", "marshal"}


def test_the_wheel_maps_every_shipped_file() -> None:
    mapped = PYPROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["force-include"]
    assert mapped == {source: f"xpcam/shipped/{name}" for name, source in resources.SHIPPED.items()}


def test_shipped_files_are_there_and_small() -> None:
    sizes = {name: resources.shipped(name).stat().st_size for name in resources.SHIPPED}
    assert min(sizes.values()) > 0
    assert sum(sizes.values()) < 24e6


def test_a_missing_shipped_file_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resources, "files", lambda package: tmp_path / package)
    with pytest.raises(errors.EngineError, match="the shipped file demo.mp4 is missing .* reinstall xpcam"):
        resources.shipped("demo.mp4")


def test_an_installed_package_finds_its_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resources, "files", lambda package: tmp_path / package)
    (tmp_path / "xpcam" / "shipped").mkdir(parents=True)
    (tmp_path / "xpcam" / "shipped" / "demo.mp4").touch()
    assert resources.shipped("demo.mp4") == tmp_path / "xpcam" / "shipped" / "demo.mp4"


def test_the_version_is_the_newest_in_the_changelog() -> None:
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    newest = re.search(r"^## \[([^\]]+)\]", changelog, re.MULTILINE)
    assert newest is not None
    assert newest[1] == __version__


def test_exit_codes_are_distinct_and_in_the_readme() -> None:
    kinds = errors.XpcamError.__subclasses__()
    codes = {kind.exit_code: kind for kind in kinds}
    assert len(codes) == len(kinds) == 7
    table = dict(re.findall(r"^\| (\d+) \| ([^|]+) \|", README, re.MULTILINE))
    assert set(table) == {"0", "1", "130", *map(str, codes)}
    for code in table:
        assert re.search(rf"\b{code} ", cli.EXIT_CODES)


def test_the_settings_file_in_the_readme_works(tmp_path: Path) -> None:
    block = re.search(r"```toml\n(.*?)```", README, re.DOTALL)
    assert block is not None
    config = tmp_path / "config.toml"
    config.write_text(block[1], encoding="utf-8")
    assert load_settings({}, config=config) != Settings()


def test_every_command_and_flag_in_the_readme_exists() -> None:
    commands = {
        command.name or command.callback.__name__
        for command in cli.app.registered_commands
        if command.callback
    } | {group.name for group in cli.app.registered_groups}
    examples = re.findall(r"\bxpcam (?=[a-z]+ )[a-z -].*", README)
    assert len(examples) > 5
    assert {example.split()[1] for example in examples} <= commands
    own = {
        "config",
        "json",
        "driver",
        "format",
        "help",
        "detach",
        "watch",
        "follow",
        "system",
        "name",
        "dry_run",
        "fix",
        "every",
    }
    flags = {
        flag.removeprefix("no-").replace("-", "_")
        for line in examples
        for flag in re.findall(r"--([a-z][a-z-]+)", line)
    }
    assert flags <= set(Settings.model_fields) | own


def test_every_make_target_in_the_readme_exists() -> None:
    targets = set(
        re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    )
    assert set(re.findall(r"\bmake ([a-z][a-z-]*)\b", README)) - {"it"} <= targets


def test_what_the_readme_links_to_is_there() -> None:
    links = re.findall(r"\]\(([^)#:]+)\)", README)
    assert "docs/demo.jpg" in links
    assert [link for link in links if not (ROOT / link).is_file()] == []
