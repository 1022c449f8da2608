"""The sample CT, offered in Slicer's Sample Data module; it comes with the extension and is not downloaded."""

from EfficientSegLib.environment import ROOT

NAME = "CT abdomen and pelvis"
CHECKSUM = "SHA256:7811475c3e61c4310c51b56998b365ef5d561919388ecb89839f3cf119389e8c"
FILE = ROOT / "Resources" / "SampleData" / "ts_ct_full.nii.gz"


def register() -> None:
    """Add the CT to the list; Sample Data copies a file address into its cache as it would download one."""
    import SampleData  # the module may be loaded after ours

    SampleData.SampleDataLogic.registerCustomSampleDataSource(
        category="EfficientSeg",
        sampleName=NAME,
        thumbnailFileName=str(ROOT / "Resources" / "Icons" / "EfficientSegCT.png"),
        uris=FILE.as_uri(),
        fileNames=f"EfficientSeg_{FILE.name}",
        nodeNames=NAME,  # Sample Data writes the node's name below the picture
        loadFileType="VolumeFile",
        checksums=CHECKSUM,  # another file of this name in the cache is replaced
    )
