"""`import SampleData`: registering data sets, and loading those that lie on this machine."""

from __future__ import annotations

import shutil
from pathlib import Path
from urllib.parse import urlparse
from urllib.request import url2pathname

import slicer


def _as_list(value: object) -> list:
    return list(value) if isinstance(value, list | tuple) else [value]


class SampleDataSource:
    """One data set: each field is a list with one entry per file."""

    def __init__(
        self,
        sampleName=None,
        sampleDescription=None,
        uris=None,
        fileNames=None,
        nodeNames=None,
        checksums=None,
        loadFiles=None,
        customDownloader=None,
        thumbnailFileName=None,
        loadFileType="VolumeFile",
        loadFileProperties=None,
    ) -> None:
        self.sampleName = sampleName
        self.sampleDescription = sampleDescription or sampleName
        self.uris = _as_list(uris)
        count = len(self.uris)
        self.fileNames = _as_list(fileNames) if fileNames else [None] * count
        self.nodeNames = _as_list(nodeNames) if nodeNames else [None] * count
        self.checksums = _as_list(checksums) if checksums else [None] * count
        self.loadFiles = _as_list(loadFiles) if loadFiles is not None else [None] * count
        kinds = _as_list(loadFileType)
        self.loadFileType = kinds if len(kinds) == count else kinds * count
        self.loadFileProperties = loadFileProperties or {}
        self.customDownloader = customDownloader
        self.thumbnailFileName = thumbnailFileName
        lists = (self.uris, self.fileNames, self.nodeNames, self.checksums, self.loadFiles, self.loadFileType)
        if len({len(each) for each in lists}) != 1:
            raise ValueError(f"All fields of sample data source {sampleName!r} must have the same length.")


class SampleDataLogic:
    """Reads and fills slicer.modules.sampleDataSources, a dict of lists by category."""

    def __init__(self, logMessage=None) -> None:
        self.logMessage = logMessage

    @staticmethod
    def registerCustomSampleDataSource(
        category="Custom",
        sampleName=None,
        uris=None,
        fileNames=None,
        nodeNames=None,
        customDownloader=None,
        thumbnailFileName=None,
        loadFileType="VolumeFile",
        loadFiles=None,
        loadFileProperties=None,
        checksums=None,
    ) -> None:
        sources = slicer.modules.sampleDataSources.setdefault(category, [])
        if not any(source.sampleName == sampleName for source in sources):
            sources.append(
                SampleDataSource(
                    sampleName=sampleName,
                    uris=uris,
                    fileNames=fileNames,
                    nodeNames=nodeNames,
                    checksums=checksums,
                    loadFiles=loadFiles,
                    customDownloader=customDownloader,
                    thumbnailFileName=thumbnailFileName,
                    loadFileType=loadFileType,
                    loadFileProperties=loadFileProperties,
                )
            )

    @staticmethod
    def sampleDataSourcesByCategory(category=None) -> dict | list:
        sources = slicer.modules.sampleDataSources
        return sources if category is None else sources.get(category, [])

    def downloadSample(self, sampleName: str) -> object:
        """First node of the named data set; LookupError if it is not registered."""
        return self.downloadSamples(sampleName)[0]

    def downloadSamples(self, sampleName: str) -> list:
        for sources in slicer.modules.sampleDataSources.values():
            for source in sources:
                if source.sampleName == sampleName:
                    return self.downloadFromSource(source)
        raise LookupError(f"No sample data named {sampleName!r} is registered.")

    def downloadFromSource(self, source: SampleDataSource) -> list:
        """Copy each file from its file:// address into the cache, verify its checksum, load it."""
        if source.customDownloader is not None:
            return source.customDownloader(source)
        folder = Path(slicer.app.cachePath)
        folder.mkdir(parents=True, exist_ok=True)
        loaded = []
        files = zip(source.uris, source.fileNames, source.nodeNames, source.checksums, source.loadFileType, strict=True)
        for uri, file_name, node_name, checksum, kind in files:
            address = urlparse(uri)
            if address.scheme != "file":
                raise OSError(f"{uri}: the stand-in reaches no network.")
            origin = Path(url2pathname(address.path))
            copy = folder / (file_name or origin.name)
            shutil.copy(origin, copy)
            if checksum:
                algorithm, digest = slicer.util.extractAlgoAndDigest(checksum)
                if slicer.util.computeChecksum(algorithm, str(copy)) != digest:
                    raise ValueError(f"{copy.name} does not have the checksum {checksum}.")
            properties = {**source.loadFileProperties, "name": node_name or copy.name.split(".")[0]}
            loaded.append(slicer.util.loadNodeFromFile(str(copy), kind, properties))
        return loaded
