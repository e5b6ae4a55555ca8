"""The control API: what it gives, what it changes, and that it refuses the rest in one line."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest
import schemathesis
from controlled import black, controlled, kept, picture, shade
from faces import Replay, face
from fastapi.testclient import TestClient
from poison import poisoned
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok

from xpcam.control.api import build, with_token
from xpcam.control.control import Control
from xpcam.control.openapi import description
from xpcam.retargeting.calibration import FEWEST
from xpcam.retargeting.profile import load_profile
from xpcam.steering import LIVE

DOCS = Path(__file__).parent.parent / "docs" / "openapi.json"
REQUESTS = 400  # a thousand malformed ones go over the socket (test_control_socket)


@pytest.fixture
def control() -> Iterator[Control]:
    with controlled() as made:
        yield made


@pytest.fixture
def client(control: Control) -> TestClient:
    return TestClient(build(control), raise_server_exceptions=False)


def test_the_description_in_the_docs_is_of_this_api() -> None:
    again = "python -m xpcam.control.openapi > docs/openapi.json"
    shipped, now = json.loads(DOCS.read_text(encoding="utf-8")), description()
    assert shipped["paths"] == now["paths"], again
    assert shipped["components"] == now["components"], again


def test_the_status_counts_what_was_shown(control: Control, client: TestClient) -> None:
    meter = control.pipeline.meter
    for number in range(5):
        control.pipeline.step(poisoned(number), number / 30)
        meter.given()
    meter.delivered(poisoned(4))
    said = client.get("/status").json()
    assert said["frames"]["generated"] == 1
    assert said["frames"]["published"] == 5
    assert said["rates"]["published"] > said["rates"]["generated"] > 0
    assert said["stages_ms"]["render"]["p50"] > 0
    assert (said["target"], said["neutral"], said["state"]) == ("face.png", "automatic", "idling")


def test_settings_change_all_at_once_or_not_at_all(control: Control, client: TestClient) -> None:
    before = control.pipeline.targets.latest
    answer = client.patch("/settings", json={"mouth": 1.5, "mirror": True, "interior": "off"})
    assert (answer.json()["mouth"], answer.json()["mirror"], answer.json()["interior"]) == (1.5, True, "off")
    now = control.pipeline.targets.latest
    assert (now.gains.mouth, now.mirror, now.look.interior) == (1.5, True, "off")
    assert now.animated is not before.animated  # drawn anew
    refused = client.patch("/settings", json={"eyes": 0.1, "mouth": 9})
    assert refused.status_code == 422
    assert refused.json() == {"detail": "mouth: found '9', wanted a number from 0 to 2"}
    assert control.pipeline.targets.latest is now
    assert set(client.get("/settings").json()) == set(LIVE)


def test_gains_alone_draw_nothing_anew(control: Control, client: TestClient) -> None:
    before = control.pipeline.targets.latest.animated
    client.patch("/settings", json={"brows": 0.0})
    assert control.pipeline.targets.latest.animated is before


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "said"),
    [
        ("PATCH", "/settings", {"threads": 2}, 422, "threads does not change while it runs"),
        ("PATCH", "/settings", {"size": "641x480"}, 422, "size: found '641x480', wanted WIDTHxHEIGHT"),
        ("PATCH", "/settings", {"camera": "x", "mouth": 0.1}, 409, "no camera x; this machine has none"),
        ("PATCH", "/settings", {"output": "x", "mouth": 0.1}, 409, "'x' is no output: use none"),
        ("PATCH", "/settings", {"mouth": "1"}, 422, "mouth: found '1', wanted a number from 0 to 2"),
        ("PATCH", "/settings", {"mirror": None}, 422, "mirror: found 'None', wanted true or false"),
        ("PATCH", "/settings", {"nose": 1}, 422, "nose is no setting: wanted one of mouth, eyes"),
        ("PUT", "/target", {"target": "nobody"}, 422, "no target 'nobody' in the gallery"),
        ("PUT", "/target", {"target": "/etc/hostname"}, 422, "not a picture that can be used"),
        ("PUT", "/target", {"target": "x" * 3000}, 422, "cannot be read"),
        ("PUT", "/target", {"target": "a\x00b"}, 422, "target: "),
        ("POST", "/target/next", None, 422, "the gallery is empty"),
        ("GET", "/gallery/nobody/thumbnail", None, 404, "no target 'nobody'"),
        ("GET", "/gallery/..%2f..%2fetc/thumbnail", None, 404, "Not Found"),
        ("GET", "/gallery/.adding-x/thumbnail", None, 422, "name: "),
        ("POST", "/neutral/profile", {"profile": "../me"}, 422, "profile: "),
        ("POST", "/neutral/profile", {"profile": "nobody"}, 422, "no profile 'nobody'"),
        ("POST", "/neutral/calibrate", {"seconds": 99}, 422, "seconds: "),
        ("DELETE", "/target", None, 405, "Method Not Allowed"),
    ],
)
def test_what_is_wrong_is_refused_in_one_line(
    method: str, path: str, body: Any, status: int, said: str, client: TestClient, control: Control
) -> None:
    before = control.pipeline.targets.latest
    answer = client.request(method, path, json=body)
    assert answer.status_code == status
    assert said in answer.json()["detail"]
    assert "\n" not in answer.json()["detail"]
    assert control.pipeline.targets.latest is before


def test_a_target_of_the_gallery_or_a_file_is_shown(
    client: TestClient, control: Control, tmp_path: Path
) -> None:
    kept(tmp_path, "anna", 40)
    kept(tmp_path, "bert", 200)
    assert client.put("/target", json={"target": "bert"}).json() == {"target": "bert"}
    assert shade(control.pipeline.step(None, 0.0)) == pytest.approx(200, abs=3)
    assert client.post("/target/next").json() == {"target": "anna"}
    assert shade(control.pipeline.step(None, 0.1)) == pytest.approx(40, abs=3)
    other = str(picture(tmp_path / "other.png", 90))
    client.put("/target", json={"target": other})
    assert shade(control.pipeline.step(None, 0.2)) == pytest.approx(90, abs=3)
    assert client.get("/status").json()["target"] == other
    assert [one["name"] for one in client.get("/gallery").json()] == ["anna", "bert"]
    thumbnail = client.get("/gallery/anna/thumbnail")
    assert thumbnail.headers["content-type"] == "image/jpeg"
    assert thumbnail.content.startswith(b"\xff\xd8")


def test_fifty_changes_in_a_row_show_no_black_picture(control: Control, tmp_path: Path) -> None:
    greys = {"anna": 40, "bert": 200, "cleo": 120}
    for name, grey in greys.items():
        kept(tmp_path, name, grey)
    for number in range(50):
        name = control.steering.show_next()
        shown = control.pipeline.step(poisoned(number), number / 30)
        assert not black(shown)
        assert shade(shown) == pytest.approx(greys[name], abs=3)


def test_a_calibration_is_taken_judged_and_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    with controlled(Replay([face()])) as control:
        client = TestClient(build(control))

        def look(_seconds: float) -> bool:  # the frame loop goes on meanwhile
            for number in range(FEWEST + 2):
                control.pipeline.step(poisoned(number), number / 30)
            return False

        monkeypatch.setattr(control.stop, "wait", look)
        said = client.post("/neutral/calibrate", json={"profile": "me"}).json()["quality"]
        assert set(said) == {"seen", "still", "frontal", "mouth", "light"}
        assert said["still"]["good"]
        assert said["seen"]["value"] == 100.0
        assert control.status().neutral == "me"
        assert control.pipeline.targets.latest.neutral is not None
        assert (load_profile("me").face == control.pipeline.targets.latest.neutral.face).all()
        assert client.post("/neutral/relearn").status_code == 204
        assert control.pipeline.targets.latest.neutral is None
        assert client.post("/neutral/profile", json={"profile": "me"}).status_code == 204
        assert control.status().neutral == "me"


def test_a_calibration_without_a_face_changes_nothing(control: Control, client: TestClient) -> None:
    control.stop.set()  # it does not wait
    answer = client.post("/neutral/calibrate", json={})
    assert answer.status_code == 409
    assert "a face in 0 of 0 frames" in answer.json()["detail"]
    control.live.state = "asleep"
    assert "nobody looks" in client.post("/neutral/calibrate", json={}).json()["detail"]
    assert control.status().neutral == "automatic"


def test_a_port_lets_only_those_pass_who_know_the_token(control: Control) -> None:
    app = with_token(build(control), "secret")
    client = TestClient(app)
    for headers in ({}, {"Authorization": "Bearer other"}, {"Authorization": "secret"}):
        answer = client.post("/stop", headers=headers)
        assert answer.status_code == 401
        assert "no token" in answer.json()["detail"]
    assert not control.stop.is_set()
    assert client.post("/stop", headers={"Authorization": "Bearer secret"}).status_code == 202
    assert control.stop.is_set()


def test_metrics_are_what_prometheus_reads(control: Control, client: TestClient) -> None:
    for number in range(4):
        control.pipeline.step(poisoned(number), number / 30)
    answer = client.get("/metrics")
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    line = re.compile(r'(# (HELP|TYPE) .+)|([a-z_]+(\{([a-z_]+="[^"\n]*",?)+\})? [-+0-9.e]+)')
    lines = answer.text.splitlines()
    assert [one for one in lines if not line.fullmatch(one)] == []
    assert 'xpcam_stage_seconds_bucket{stage="track",le="+Inf"} 4' in lines
    assert 'xpcam_stage_seconds_count{stage="track"} 4' in lines
    assert 'xpcam_state{state="idling"} 1' in lines
    buckets = [one for one in lines if one.startswith('xpcam_stage_seconds_bucket{stage="track"')]
    counts = [int(one.rpartition(" ")[2]) for one in buckets]
    assert counts == sorted(counts)


def test_requests_of_every_kind_give_no_server_error(control: Control, tmp_path: Path) -> None:
    control.stop.set()  # a calibration does not wait
    kept(tmp_path, "anna", 40)
    answered: list[int] = []
    found = schemathesis.openapi.from_asgi("/openapi.json", build(control)).get_all_operations()
    operations = [one.ok() for one in found if isinstance(one, Ok)]
    taking = [one for one in operations if list(one.iter_parameters()) or one.body]
    assert len(operations) == 12
    assert len(taking) == 5
    for operation in operations:
        for mode in (
            schemathesis.GenerationMode if operation in taking else [schemathesis.GenerationMode.POSITIVE]
        ):
            ask_often(operation.as_strategy(generation_mode=mode), REQUESTS // (2 * len(taking)), answered)
    assert max(answered) < 500
    assert {200, 204, 404, 409, 422} <= set(answered)
    assert len(answered) >= 0.9 * REQUESTS


def ask_often(cases: Any, times: int, answered: list[int], **where: Any) -> None:
    @hypothesis.given(case=cases)
    @hypothesis.settings(
        max_examples=times,
        deadline=None,
        database=None,
        derandomize=True,
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    def ask(case: schemathesis.Case[Any]) -> None:
        answer = case.call_and_validate(checks=[not_a_server_error], **where)
        answered.append(answer.status_code)
        assert answer.status_code < 400 or "\n" not in answer.json()["detail"]

    ask()


@pytest.mark.parametrize("path", ["/settings", "/target", "/neutral/calibrate", "/stop"])
@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"\xff\xfe",
        b"[]",
        b"null",
        b"[" * 5000,
        b'{"mouth": NaN}',
        b'{"target": "\\ud800"}',
        b"1" * 5000,
    ],
)
def test_bodies_that_are_no_json_are_refused(path: str, body: bytes, client: TestClient) -> None:
    for method in ("PATCH", "PUT", "POST"):
        for kind in ("application/json", "text/plain", "multipart/form-data"):
            answer = client.request(method, path, content=body, headers={"content-type": kind})
            assert answer.status_code < 500
            assert path == "/stop" or answer.status_code >= 400
