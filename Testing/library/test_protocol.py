"""What one side says the other understands; everything else is log text or a clear error."""

import json

import pytest

from EfficientSegLib import protocol
from EfficientSegLib.errors import ProtocolError
from EfficientSegLib.geometry import PatchBox, ScoredBox
from EfficientSegLib.protocol import (
    EVENTS,
    MARK,
    ClassWeights,
    DeviceSpeed,
    Failed,
    Finished,
    Heartbeat,
    Measured,
    Pace,
    Partial,
    PatchChange,
    Patches,
    Place,
    Progress,
    Ready,
    Request,
    Reviewed,
    SegmentRefinement,
    Shutdown,
    Started,
    Tokens,
    Warned,
    decode,
    decode_request,
    encode,
    encode_request,
)

BOX = PatchBox((0, 1, 2), (3, 4, 5))
SAID = [
    Ready(12, "0.1.0"),
    Started(12, "cuda", 4),
    Heartbeat(123.5),
    Progress("patches", 0.5, 3, 6, 12.25),
    Progress("read", 0.0),
    Patches((ScoredBox(BOX, 0.75, 1), ScoredBox(BOX, -0.5, 2)), 30),
    Patches((), 30),
    ClassWeights({"1": 0.5, "200": 0.25}),
    Partial("/tmp/Dr. Jöhn Ωé/partial.npy", BOX, 0, 5),
    Pace(4.5, 1.25, 343),
    Reviewed(
        (PatchChange(1, {"1": 0.5, "3": 0.0125}), PatchChange(2, {})),
        (SegmentRefinement(1, 812.5, 0.84, 3.25),),
        (Place(BOX, 1, "changed", 1.5, 0.5), Place(BOX, 3, "unvisited", -2.0, 0.0)),
    ),
    Reviewed((), (), ()),
    Measured((DeviceSpeed("cpu", "Ä processor", 0.5), DeviceSpeed("cuda", "A GPU", trouble="Its driver is old."))),
    Tokens("/out/Dr. Jöhn Ωé/tokens.npy", 3),
    Warned("Slices are 5 mm apart.\nTwo lines."),
    Finished("labels.npy", "a.seg.nrrd", "run.json", 12.5, 900.0, False, 3, 5),
    Finished("labels.npy", "", "run.json", 12.5, 900.0, True, 5, 5, run_id="0f3a"),
    Failed("What.", "Why.", "Mend."),
]


@pytest.mark.parametrize("event", SAID, ids=lambda event: type(event).__name__)
def test_an_event_arrives_as_it_was_said_on_one_line(event):
    line = encode(event)
    assert "\n" not in line
    assert decode(line) == event
    assert decode(line + "\n") == event


def test_every_kind_of_event_is_tried_here():
    assert {type(event) for event in SAID} == set(EVENTS.values())


@pytest.mark.parametrize("line", ["", "\n", "Loading weights", '{"event": "Ready"}', " " + MARK + "{}", "@Efficient"])
def test_a_line_without_mark_is_log_text(line):
    assert decode(line) is None


def test_an_event_of_a_newer_worker_is_passed_over():
    assert decode(MARK + json.dumps({"event": "Telepathy", "strength": 3})) is None


def test_a_newer_field_is_passed_over():
    content = json.loads(encode(Heartbeat(1.0))[len(MARK) :])
    assert decode(MARK + json.dumps({**content, "temperature": 40})) == Heartbeat(1.0)


@pytest.mark.parametrize(
    "rest",
    [
        "",
        "{",
        "7",
        "[]",
        "null",
        "{}",
        '{"event": "Heartbeat"}',
        '{"event": "Heartbeat", "memory_mb": "much"}',
        '{"event": "Partial", "labels": "x", "box": {"start": [3, 3, 3], "stop": [1, 1, 1]}, "patches_read": 0, '
        '"patches_total": 1}',
        '{"event": ["Ready"]}',
    ],
)
def test_a_marked_line_without_valid_event_is_an_error_in_words(rest):
    with pytest.raises(ProtocolError, match="no valid event.*Look at the log"):
        decode(MARK + rest)


def test_a_long_garbled_line_is_quoted_in_part():
    with pytest.raises(ProtocolError) as caught:
        decode(MARK + "x" * 100_000)
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize(
    "request_",
    [
        Request("/data/Dr. Jöhn Ωé/scan 1.nrrd", "/out", "/bundles/demo"),
        Request("a", "b", "c", "nmsw", {"top_k": 3}, "cpu", 2, False, "/out/cancel", 4711),
        Request("a", "b", "c", continue_from="0f3a", keep=True, tokens=True),
        Request("a", "b", "c", first=(BOX, BOX), only_first=True, structures=(1, 200), region=BOX),
        Shutdown(),
    ],
)
def test_a_request_arrives_as_it_was_sent(request_):
    line = encode_request(request_)
    assert "\n" not in line
    assert decode_request(line) == request_


@pytest.mark.parametrize(
    "line, said",
    [
        ("", "not a JSON object"),
        ("segment this", "not a JSON object"),
        ("[1]", "not a JSON object"),
        ('{"input": "a"}', "'output_dir' is missing"),
        ('{"input": "a", "output_dir": "b", "bundle": "c", "speed": "fast"}', "Unknown option 'speed'"),
        ('{"input": "a", "output_dir": "b", "bundle": "c", "device": "quantum"}', "'device' is 'quantum'"),
        ('{"input": 7, "output_dir": "b", "bundle": "c"}', "'input' is 7"),
        ('{"input": "a", "output_dir": "b", "bundle": "c", "options": [1]}', "'options'"),
        ('{"input": "a", "output_dir": "b", "bundle": "c", "first": [{"start": [0, 0, 0]}]}', "'stop' is missing"),
        (
            '{"input": "a", "output_dir": "b", "bundle": "c", "first": [{"start": [4, 0, 0], "stop": [4, 1, 1]}]}',
            r"A box from \(4, 0, 0\) to \(4, 1, 1\) is empty.*at least one voxel",
        ),
        ('{"input": "a", "output_dir": "b", "bundle": "c", "structures": ["liver"]}', "'structures' is 'liver'"),
        ('{"input": "a", "output_dir": "b", "bundle": "c", "protocol": 99}', "protocol 99.*Restart Slicer"),
    ],
)
def test_a_wrong_request_is_refused_in_words(line, said):
    with pytest.raises(ProtocolError, match=said):
        decode_request(line)


def test_the_mark_cannot_be_mistaken_for_json():
    assert not MARK.startswith(("{", "["))
    assert protocol.PROTOCOL == 1
