"""The sample CT, offered in Slicer's Sample Data module; it comes with the extension and is not downloaded."""

from EfficientSegLib.environment import ROOT

NAME = "CT abdomen and pelvis"
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
    )
