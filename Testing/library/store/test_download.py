"""Downloads from a server of this machine that breaks, lies, redirects and refuses as the ones out there do."""

import http.server
import json
import re
import socket
import ssl
import threading
import urllib.error
import urllib.request
import zipfile
from dataclasses import replace

import pytest

from EfficientSegLib import bundle as bundles
from EfficientSegLib.errors import BundleError, DownloadError
from EfficientSegLib.store import fetching, keeping
from EfficientSegLib.store import home as homes
from EfficientSegLib.store.download import download_bundle, download_weights
from EfficientSegLib.store.fetching import fetch, look, part_name
from EfficientSegLib.store.network_words import explain
from EfficientSegLib.store.progress import StoreStopped, Watch

CONTENT = bytes(range(256)) * 4000  # 1 MB
QUICK = {"timeout": 5.0, "pause_seconds": 0.0}


class Server(http.server.ThreadingHTTPServer):
    """Gives `files`; each entry of `breaks` cuts one answer off after so many bytes."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files: dict[str, bytes] = {}
        self.breaks: list[int] = []
        self.ranges: list[str] = []  # as they were asked for
        self.tag = '"one"'
        self.knows_ranges = self.knows_head = self.says_length = True
        self.redirect = ""

    def url(self, name: str) -> str:
        return f"http://127.0.0.1:{self.server_port}/{name}"


class Handler(http.server.BaseHTTPRequestHandler):
    def do_HEAD(self) -> None:
        if self.server.knows_head:
            self.answer(False)
        else:
            self.send_error(405)

    def do_GET(self) -> None:
        self.answer(True)

    def answer(self, body: bool) -> None:
        server, name = self.server, self.path.lstrip("/")
        if name == "moved":
            self.send_response(302)
            self.send_header("Location", server.redirect)
            self.end_headers()
            return
        if name.isdigit():
            self.send_error(int(name))
            return
        if name not in server.files:
            self.send_error(404)
            return
        content, begin = server.files[name], 0
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        if body:
            server.ranges.append(self.headers.get("Range", ""))
        if asked and server.knows_ranges and self.headers.get("If-Range", server.tag) == server.tag:
            begin = int(asked[1])
            if begin >= len(content):
                self.send_error(416)
                return
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {begin}-{len(content) - 1}/{len(content)}")
        else:
            self.send_response(200)
        if server.says_length:
            self.send_header("Content-Length", str(len(content) - begin))
        self.send_header("ETag", server.tag)
        self.end_headers()
        if body:
            rest = content[begin:]
            self.wfile.write(rest[: server.breaks.pop(0)] if server.breaks else rest)

    def log_message(self, *_) -> None:
        """A test reads no log."""


@pytest.fixture
def server(monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    server = Server()
    server.files["w.pt"] = CONTENT
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def home(tmp_path):
    return tmp_path / "Dr. Jöhn Ωé"


@pytest.fixture
def manifest(tmp_path, server):
    """The folder of a bundle without its weights."""
    return write_manifest(tmp_path / "given", server.url("w.pt"))


def write_manifest(folder, url, weights=CONTENT):
    folder.mkdir(parents=True)
    bundle = bundles.load(keeping.SHIPPED / "self-test")
    (folder / "weights.pt").write_bytes(weights)
    said = replace(bundle.weights, url=url, sha256=bundles.checksum(folder / "weights.pt"))
    bundles.save(replace(bundle, name="far", version="1", weights=said), folder)
    (folder / "weights.pt").unlink()
    return folder


def workshop(home):
    return sorted(path.name for path in (home / homes.WORKSHOP).iterdir())


def test_weights_come_from_their_address_into_the_users_folder(server, manifest, home):
    said = []
    bundle = download_weights(manifest, home, report=lambda *all: said.append(all), **QUICK)
    assert bundle.weights_path.read_bytes() == CONTENT and bundle.folder == str(home / "far-1")
    assert said[0] == ("download", 0, len(CONTENT)) and ("download", len(CONTENT), len(CONTENT)) in said
    assert workshop(home) == [] and not (manifest / "weights.pt").exists()


def test_beside_a_manifest_of_the_users_own_they_are_put_in_place(server, manifest, home):
    kept = keeping.install(manifest / "bundle.json", home)
    with pytest.raises(BundleError, match="weights.pt is missing.*Download them"):
        bundles.load(kept.folder)
    assert download_weights(kept.folder, home, **QUICK).folder == kept.folder
    bundles.verify_weights(bundles.load(kept.folder))
    assert workshop(home) == []


def test_a_broken_connection_is_taken_up_where_it_broke(server, manifest, home):
    server.breaks = [300_000, 0, 400_000]
    download_weights(manifest, home, **QUICK)
    assert server.ranges == ["", "bytes=300000-", "bytes=300000-", "bytes=700000-"]


def test_a_download_goes_on_days_later(server, manifest, home):
    server.breaks = [300_000, *[0] * 20]
    with pytest.raises(DownloadError, match="connection to 127.0.0.1 broke.*goes on from where it was"):
        download_weights(manifest, home, **QUICK)
    part = part_name(server.url("w.pt"))
    assert workshop(home) == sorted([part, part.replace(".part", ".json")])
    server.breaks, server.ranges = [], []
    said = []
    download_weights(manifest, home, report=lambda *all: said.append(all), **QUICK)
    assert server.ranges == ["bytes=300000-"] and said[0] == ("download", 300_000, len(CONTENT))


def test_stopping_keeps_the_part_to_go_on_from(server, manifest, home):
    with pytest.raises(StoreStopped):
        download_weights(manifest, home, stopped=lambda: any(homes.workshop(home).glob("*.part")), **QUICK)
    assert not (home / "far-1").exists() and len(workshop(home)) == 2
    assert download_weights(manifest, home, **QUICK).weights_path.read_bytes() == CONTENT


@pytest.mark.parametrize("change", ["another file", "no ranges", "shorter file"])
def test_what_is_there_is_dropped_where_it_does_not_fit_any_more(server, tmp_path, home, change):
    part = tmp_path / "x.part"
    server.breaks = [600_000, *[0] * 20]
    with pytest.raises(DownloadError):
        fetch(server.url("w.pt"), part, Watch(), **QUICK)
    server.breaks = []
    if change == "no ranges":
        server.knows_ranges = False
    else:
        server.files["w.pt"] = CONTENT[::-1] if change == "another file" else CONTENT[:1000]
        server.tag = '"two"' if change == "another file" else '"one"'
    fetch(server.url("w.pt"), part, Watch(), **QUICK)
    assert part.read_bytes() == server.files["w.pt"]


def test_a_server_that_does_not_say_how_much_is_heard_to_its_end(server, tmp_path):
    server.says_length = False
    fetch(server.url("w.pt"), tmp_path / "x.part", Watch(), **QUICK)
    assert (tmp_path / "x.part").read_bytes() == CONTENT
    assert look(server.url("w.pt")).size is None


def test_wrong_weights_are_removed_and_said(server, manifest, home):
    server.files["w.pt"] = CONTENT[::-1]
    with pytest.raises(DownloadError, match="checksum.*was expected.*Download it again"):
        download_weights(manifest, home, **QUICK)
    assert workshop(home) == [] and bundles.find([home]) == []


def test_a_whole_bundle_comes_from_an_address(server, tmp_path, home):
    folder = write_manifest(tmp_path / "far", None)
    with zipfile.ZipFile(tmp_path / "far.zip", "w") as archive:
        archive.write(folder / "bundle.json", "far/bundle.json")
        archive.writestr("far/weights.pt", CONTENT)
    server.files["far.zip"] = packed = (tmp_path / "far.zip").read_bytes()
    url = server.url("far.zip")
    with pytest.raises(DownloadError, match="checksum"):
        download_bundle(f"{url}#sha256={'0' * 64}", home, **QUICK)
    right = f"{url}#sha256={bundles.checksum(tmp_path / 'far.zip').upper()}"
    assert download_bundle(right, home, **QUICK).weights_path.read_bytes() == CONTENT
    with pytest.raises(keeping.AlreadyThereError):
        download_bundle(url, home, **QUICK)
    server.ranges = []
    download_bundle(url, home, replace=True, **QUICK)
    assert server.ranges == [], "what was fetched before the question is not fetched again"
    assert workshop(home) == []
    server.files["far.zip"] = packed[: len(packed) // 2]
    server.tag = '"two"'
    with pytest.raises(BundleError, match="What 127.0.0.1 has sent is no .zip"):
        download_bundle(url, home, replace=True, **QUICK)
    assert workshop(home) == []


def test_looking_fetches_nothing(server):
    offer = look(server.url("w.pt"))
    assert (offer.host, offer.size, server.ranges) == ("127.0.0.1", len(CONTENT), [])
    server.knows_head = False
    assert look(server.url("w.pt")).size is None


def test_a_moved_file_is_found_and_an_open_connection_is_not_followed_to(server, tmp_path):
    server.redirect = server.url("w.pt")
    assert look(server.url("moved")).size == len(CONTENT)
    fetch(server.url("moved"), tmp_path / "x.part", Watch(), **QUICK)
    assert (tmp_path / "x.part").read_bytes() == CONTENT
    request = urllib.request.Request("https://example.org/w.pt")
    with pytest.raises(urllib.error.URLError, match="open connection"):
        fetching._Redirects().redirect_request(request, None, 302, "", {}, "http://example.org/w.pt")
    server.redirect = "file:///etc/passwd"
    with pytest.raises(DownloadError):
        fetch(server.url("moved"), tmp_path / "y.part", Watch(), **QUICK)


@pytest.mark.parametrize(
    "name, said",
    [
        ("404", "no such file.*author"),
        ("403", "not give this file to everyone.*browser"),
        ("407", "proxy wants a name"),
        ("503", "cannot give the file now.*Try again later"),
    ],
)
def test_refusals_are_said_in_words(server, tmp_path, name, said):
    with pytest.raises(DownloadError, match=said):
        fetch(server.url(name), tmp_path / "x.part", Watch(), **QUICK)
    with pytest.raises(DownloadError, match=said):
        look(server.url(name))


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://host/w.pt", "w.pt", "http://", "https://[", ""])
def test_only_addresses_of_the_web_are_fetched(tmp_path, url):
    with pytest.raises(DownloadError, match="no address of a file"):
        fetch(url, tmp_path / "x.part", Watch(), **QUICK)


@pytest.mark.parametrize(
    "cause, said",
    [
        (socket.gaierror(-2, "Name or service not known"), "example.org cannot be found.*https_proxy"),
        (ConnectionRefusedError(111, "refused"), "refuses the connection.*firewall"),
        (TimeoutError("timed out"), "does not answer"),
        (ssl.SSLCertVerificationError(1, "self-signed certificate in certificate chain"), "not trusted.*SSL_CERT_FILE"),
        (ssl.SSLError(1, "WRONG_VERSION_NUMBER"), "No secure connection"),
        (ConnectionResetError(104, "reset"), "connection to example.org broke"),
    ],
)
def test_every_failure_of_the_network_has_words_and_another_way(cause, said):
    error = explain("https://example.org/w.pt", urllib.error.URLError(cause))
    assert re.search(said, str(error)) and "add it from the file" in error.mend


def test_nobody_listening_is_said(tmp_path, server):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/w.pt"
    with pytest.raises(DownloadError, match="refuses the connection"):
        fetch(url, tmp_path / "x.part", Watch(), **QUICK)


def test_a_full_disk_is_said_before_and_on_the_way(server, manifest, home, monkeypatch):
    monkeypatch.setattr(homes.shutil, "disk_usage", lambda _: type("Disk", (), {"free": 1000})())
    with pytest.raises(BundleError, match="The download needs 1.0 MB, and the disk has 1 kB free"):
        download_weights(manifest, home, **QUICK)
    monkeypatch.undo()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr("EfficientSegLib.store.progress.Watch.add", full)
    with pytest.raises(BundleError, match="the disk is full"):
        download_weights(manifest, home, **QUICK)
    assert bundles.find([home]) == []


def test_a_bundle_without_an_address_says_so(tmp_path, home):
    folder = write_manifest(tmp_path / "given", None)
    with pytest.raises(BundleError, match="names no address"):
        download_weights(folder, home, **QUICK)


def test_a_part_of_another_address_is_not_gone_on_from(server, tmp_path):
    part = tmp_path / "x.part"
    part.write_bytes(b"other")
    part.with_suffix(".json").write_text(json.dumps({"url": "http://other/", "total": 5}))
    fetch(server.url("w.pt"), part, Watch(), **QUICK)
    assert part.read_bytes() == CONTENT
