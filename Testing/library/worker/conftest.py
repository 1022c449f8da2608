"""What the tests of the background process share: its inputs, its requests, and one that stays warm."""

import pytest
from tiny_bundle import write_tiny_bundle, write_tiny_ct
from worker_client import WorkerClient

from EfficientSegLib.protocol import Ready, Request


@pytest.fixture(scope="package")
def inputs(tmp_path_factory):
    """A CT, a quick bundle and one with thousands of patches, in a folder named as a colleague's may be."""
    folder = tmp_path_factory.mktemp("Dr. Jöhn Ωé")
    write_tiny_ct(folder / "Lüngé.nii.gz")
    write_tiny_bundle(folder / "bündle")
    write_tiny_bundle(folder / "slow", overlap=0.93, top_k=None)  # thousands of patches
    return folder


@pytest.fixture
def request_for(inputs, tmp_path):
    """Makes requests of one thread whose results go to a folder of this test."""

    def make(bundle: str = "bündle", **fields) -> Request:
        fields = {"input": str(inputs / "Lüngé.nii.gz"), "output_dir": str(tmp_path / "öut put"), **fields}
        return Request(bundle=str(inputs / bundle), threads=1, device="cpu", **fields)

    return make


@pytest.fixture(scope="package")
def worker():
    """One warm worker for the tests that leave it alive."""
    with WorkerClient() as client:
        client.until(Ready)
        yield client
