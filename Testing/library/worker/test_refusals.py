"""What the background process cannot do is answered in words, and survived."""

from dataclasses import replace
from pathlib import Path

import pytest
from tiny_bundle import write_tiny_bundle
from worker_client import WorkerClient, kinds

from EfficientSegLib.protocol import Failed, Finished


@pytest.mark.parametrize(
    "line, words",
    [
        (b"hello", "not a JSON object"),
        (b'{"protocol": 99}', "protocol 99"),
        (b'{"input": "a", "output_dir": "b", "bundle": "c", "colour": 1}', "colour"),
        (b"\xff\xfe\x00{", "not a JSON object"),
    ],
)
def test_garbage_is_answered_and_survived(worker, request_for, line, words):
    worker.send(line)
    failed = worker.next()
    assert isinstance(failed, Failed) and words in failed.what and failed.mend
    assert isinstance(worker.ask(request_for())[-1], Finished)


def bad_requests(inputs: Path, tmp_path: Path):
    """What is wrong, the changed fields, and words of the answer."""
    (tmp_path / "file").write_bytes(b"")
    broken = write_tiny_bundle(tmp_path / "broken")
    broken.weights_path.write_bytes(b"changed")
    return {
        "no bundle": ({"bundle": str(tmp_path)}, "not a bundle"),
        "checksum": ({"bundle": broken.folder}, "checksum"),
        "no input": ({"input": str(tmp_path / "nö.nrrd")}, "nö.nrrd does not exist"),
        "no image": ({"input": str(inputs / "bündle" / "bundle.json")}, "bundle.json"),
        "no folder": ({"output_dir": str(tmp_path / "file" / "out")}, "could not be written"),
        "too many patches": ({"options": {"top_k": 99999}}, "99999"),
        "unknown option": ({"options": {"speed": 2}}, "speed"),
        "unknown strategy": ({"strategy": "guessing"}, "guessing"),
        "no threads": ({"threads": 0}, "threads is 0"),
        "no CUDA": ({"device": "cuda"}, "CUDA was asked for"),
    }


def test_bad_requests_fail_in_words_and_leave_nothing(request_for, inputs, tmp_path):
    with WorkerClient(environment={"CUDA_VISIBLE_DEVICES": ""}) as worker:
        for name, (fields, words) in bad_requests(inputs, tmp_path).items():
            request = replace(request_for(), **fields)
            events = worker.ask(request)
            assert isinstance(events[-1], Failed), name
            assert words in events[-1].what and events[-1].why and events[-1].mend and not events[-1].cancelled, name
            left = Path(request.output_dir)
            assert not left.is_dir() or not list(left.iterdir()), name


def test_a_volume_of_5000_slices_is_refused_before_it_is_read(worker, request_for, tmp_path):
    header = (
        "NRRD0004\ntype: short\ndimension: 3\nsizes: 512 512 500000\nspace: left-posterior-superior\n"
        "space directions: (1,0,0) (0,1,0) (0,0,1)\nspace origin: (0,0,0)\nendian: little\nencoding: gzip\n\n"
    )
    (tmp_path / "long.nrrd").write_text(header)
    events = worker.ask(request_for(input=str(tmp_path / "long.nrrd")))
    assert kinds(events) == ["Failed"]
    assert "500000 voxels needs about" in events[0].what and "GB are free" in events[0].what
