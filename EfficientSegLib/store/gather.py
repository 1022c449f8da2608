"""A bundle's files out of a folder, a .zip or a manifest alone, and nothing but these.

What a stranger has packed is not trusted: names that lead elsewhere, links, encrypted members and archives that unpack
to far more than they are refuse the whole archive; files that do not belong to a bundle are never unpacked.
"""

import stat
import zipfile
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import BinaryIO

from EfficientSegLib import bundle as bundles
from EfficientSegLib.bundle import MANIFEST, Bundle
from EfficientSegLib.errors import BundleError
from EfficientSegLib.store.home import refuse_without_room
from EfficientSegLib.store.progress import Watch

MOST_MEMBERS = 2000
MOST_EXTRA_BYTES = 16 << 20  # of the manifest, and of each file beside the weights
MOST_TIMES = 100  # an archive may unpack to so many times its own size: weights hardly shrink at all
EXTRA_ENDINGS = (".json", ".md", ".txt", ".csv", ".png")  # a model's papers; the rest stays behind
PAPERS = ("license", "licence", "notice", "citation", "readme")


def gather(source: Path, folder: Path, watch: Watch) -> Bundle:
    """Bring the files of the bundle at `source` into an empty folder.

    Args:
        source: a folder with bundle.json, a .zip that holds one (at its top or in one folder), or a bundle.json.

    Returns:
        The manifest, checked; its weights may be missing where it names an address to get them from.

    Raises:
        BundleError: there is no bundle, or something that is not one.
        StoreStopped: `watch` said so.
    """
    if source.is_dir():
        return _from_folder(source, folder, watch)
    if source.name.lower().endswith(".json"):
        return _manifest(folder, source.read_bytes()[: MOST_EXTRA_BYTES + 1], source.name)
    try:
        with zipfile.ZipFile(source) as archive:
            return _from_archive(archive, source, folder, watch)
    except (zipfile.BadZipFile, NotImplementedError, EOFError) as error:
        raise BundleError(
            f"{source.name} is no .zip that can be read.",
            why=f"{error}.",
            mend="Get the file again; give a bundle as a folder, a .zip or its bundle.json.",
        ) from error


def _from_folder(source: Path, folder: Path, watch: Watch) -> Bundle:
    bundles.load(source, needs_weights=False)  # says what is wrong by the name of the user's own folder
    bundle = _manifest(folder, (source / MANIFEST).read_bytes(), source.name)
    wanted = [path for path in sorted(source.iterdir()) if path.is_file() and _belongs(path.name, bundle)]
    # A link may lead anywhere; to weights it may, because their checksum tells what they are.
    wanted = [path for path in wanted if not path.is_symlink() or path.name == bundle.weights.file]
    sizes = {path.name: path.stat().st_size for path in wanted}
    wanted = [path for path in wanted if path.name == bundle.weights.file or sizes[path.name] <= MOST_EXTRA_BYTES]
    total = sum(sizes[path.name] for path in wanted)
    refuse_without_room(folder, total, bundle.title)
    watch.begin("unpack", total)
    for path in wanted:
        with open(path, "rb") as reader:
            _write(reader, folder / path.name, sizes[path.name], watch)
    return bundle


def _from_archive(archive: zipfile.ZipFile, source: Path, folder: Path, watch: Watch) -> Bundle:
    members = archive.infolist()
    if len(members) > MOST_MEMBERS:
        raise _refused(source, f"it holds {len(members)} files", "A bundle has a handful.")
    for member in members:
        _refuse_unsafe(source, member)
    base, manifest = _find_manifest(source, members)
    with archive.open(manifest) as reader:
        bundle = _manifest(folder, reader.read(MOST_EXTRA_BYTES + 1), source.name)
    wanted = [
        member
        for member in members
        if PurePosixPath(member.filename).parent == base
        and not member.is_dir()
        and _belongs(PurePosixPath(member.filename).name, bundle)
    ]
    weights = bundle.weights.file
    for member in wanted:
        name = PurePosixPath(member.filename).name
        if name != weights and member.file_size > MOST_EXTRA_BYTES:
            raise _refused(source, f"{name} has {member.file_size} bytes", "Only weights are that large.")
    names = [PurePosixPath(member.filename).name.casefold() for member in wanted]
    if len(set(names)) < len(names):
        raise _refused(source, "it holds a file twice", "Which of them is meant cannot be told.")
    total = sum(member.file_size for member in wanted)
    if total > MOST_TIMES * source.stat().st_size + MOST_EXTRA_BYTES:
        raise _refused(source, f"it would unpack to {total} bytes", "That is far more than a model of this file size.")
    refuse_without_room(folder, total, bundle.title)
    watch.begin("unpack", total)
    for member in wanted:
        with archive.open(member) as reader:
            _write(reader, folder / PurePosixPath(member.filename).name, member.file_size, watch)
    return bundle


def _manifest(folder: Path, content: bytes, name: str) -> Bundle:
    if len(content) > MOST_EXTRA_BYTES:
        raise BundleError(
            f"The manifest of {name} is too large.", why="It is a page of text.", mend="Get the bundle again."
        )
    (folder / MANIFEST).write_bytes(content)
    try:
        return bundles.load(folder, needs_weights=False)
    except BundleError as error:
        # The folder that it lies in for a moment says nothing to the user.
        raise BundleError(error.what.replace(folder.name, name), why=error.why, mend=error.mend) from error


def _belongs(name: str, bundle: Bundle) -> bool:
    if name in (MANIFEST, bundle.weights.file):
        return name != MANIFEST  # it is there already
    said = name.lower()
    return not said.startswith(".") and (said.endswith(EXTRA_ENDINGS) or said.split(".")[0] in PAPERS)


def _find_manifest(source: Path, members: list[zipfile.ZipInfo]) -> tuple[PurePosixPath, zipfile.ZipInfo]:
    paths = [(PurePosixPath(member.filename), member) for member in members]
    found = [(path.parent, member) for path, member in paths if path.name == MANIFEST and len(path.parts) <= 2]
    if len(found) != 1:
        raise BundleError(
            f"{source.name} holds {len(found) or 'no'} bundles.",
            why=f"One {MANIFEST} is expected, at its top or in one folder.",
            mend="Choose a .zip of one bundle.",
        )
    return found[0]


def _refuse_unsafe(source: Path, member: zipfile.ZipInfo) -> None:
    name = member.filename
    parts = PureWindowsPath(name)  # knows drives and both slashes
    if parts.is_absolute() or parts.drive or name.startswith(("/", "\\")) or ".." in parts.parts or "\0" in name:
        raise _refused(source, f"{name!r} would be written elsewhere", "No bundle needs that.")
    if stat.S_ISLNK(member.external_attr >> 16):
        raise _refused(source, f"{name!r} is a link", "It could lead anywhere.")
    if member.flag_bits & 1:
        raise _refused(source, f"{name!r} is encrypted", "Passwords are not asked for.")


def _refused(source: Path, what: str, why: str) -> BundleError:
    return BundleError(
        f"{source.name} is refused: {what}.", why=why, mend="Get the bundle from its author, as a plain .zip."
    )


def _write(reader: BinaryIO, path: Path, size: int, watch: Watch) -> None:
    with open(path, "xb") as writer:
        copied = watch.copy(reader, writer, size)
    if copied != size:
        raise BundleError(
            f"{path.name} ends after {copied} of {size} bytes.", why="The file is broken.", mend="Get the bundle again."
        )
