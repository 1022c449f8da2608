"""Where the files of a case lie, by data set."""


def files(folder: str, case: str) -> tuple[str, str]:
    """Paths of image and label below the data folder: a folder for each case, or the raw form of nnU-Net (torso)."""
    if folder == "torso":
        part = "Ts" if "test" in case else "Tr"
        return f"torso/images{part}/{case}_0000.nii.gz", f"torso/labels{part}/{case}.nii.gz"
    return f"{folder}/{case}/image.nii.gz", f"{folder}/{case}/label.nii.gz"
