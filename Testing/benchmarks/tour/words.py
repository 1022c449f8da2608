"""What is said of each picture of the tour, and the page that holds them."""

from dataclasses import dataclass

ITEMS = {
    1: "Live refinement",
    2: "Budget in time, Stop, More",
    3: "Refine here, structures first, region",
    4: "Why",
    5: "Review list",
    6: "Class weights, statistics, run record",
    7: "Models and Compare",
    8: "Many studies",
    9: "Set-up",
    10: "Manners",
}


@dataclass(frozen=True)
class Stop:
    """One picture with its words."""

    picture: str  # file name without ending
    items: tuple[int, ...]  # of the panel's ten, see `ITEMS`; none: of another task
    title: str
    seen: str  # what the radiologist sees and can do
    only: str  # what only the real application can show


STOPS = (
    Stop(
        "01-live",
        (1, 2),
        "Coarse at once, then box by box",
        "Left: the overview's labels stand in the views before the first patch is read: fainter outlines until the end "
        'and "patch 0 of 20" say that they are coarse. Middle: some patches later their boxes are rewritten; boxes are '
        "thin, orange was read first, and the slider's marks speak time. Stop, just clicked, keeps what is done.",
        "How it feels while the views are scrolled meanwhile. How long the main thread was blocked is measured with "
        "the stand-in by `panel_process.py`; a graphics card and Slicer's own views differ from it.",
    ),
    Stop(
        "02-coarse-and-refined",
        (1,),
        "Coarse ⇄ refined, and the refined area",
        "One button (Ctrl+B) puts the coarse labels, left, in the place of the refined ones, right, and back; nothing "
        "that is edited is touched. The teal ground is *Refined area*: outside it only the overview has looked. The "
        "same stands as a share of the surface in each structure's row (picture 7).",
        "The blink itself.",
    ),
    Stop(
        "03-effort",
        (2,),
        "Minutes instead of parameters",
        "Left: before anything was timed the slider speaks patches. Middle: after a stopped run it speaks time, with "
        "marks below coarse, 5, 30 and all; the status says how much was read and that it was kept, and Segment has "
        "become More. Right: More has gone on to 20 patches; it reads nothing twice, and Undo takes it back. How well "
        "the time left is told: [time-left](../time-left.md).",
        "The times of your machine: these are of two shared processor cores, which were busy with other work.",
    ),
    Stop(
        "04-refine-here",
        (3,),
        "Look here; these first; only inside",
        "Left: *Refine here* waits for a click in a view (the orange point). Middle: the patches there were read. "
        "Right, under Advanced: ticks for the structures that come first and for those that become segments, and a ROI "
        "to which everything is restricted. The middle picture follows an Undo, after which the worker holds the "
        "undone run and not the earlier one, so it says that everything is computed anew.",
        "Dragging a box with the mouse in a view, and Esc: the stand-in plays Slicer's place mode through its nodes.",
    ),
    Stop(
        "05-why",
        (4, 6),
        "Why here?",
        "Every patch with rank, priority, place in words and what it changed. A click in the axial view has selected "
        "the row and lit its box in white; a click on a row jumps the views. Below, bars say how far each structure "
        "trusts the detail patches, with one sentence. Priority is a learned benefit and no probability.",
        "The pointer: the click is sent to the view as an event.",
    ),
    Stop(
        "06-review",
        (5,),
        "Review, first things first",
        "Places in words with the reason and the amount, and what the order was worth where it was measured "
        "([review-order](../review-order.md)). The first place was accepted (✓), and the list has gone to the next "
        "one: the views are there and its box is white. Keys: N, P, A, X, E; the state is saved with the scene.",
        "Edit: Segment Editor opening at this place with this segment.",
    ),
    Stop(
        "07-numbers",
        (6,),
        "Numbers that can be taken away",
        "Millilitres, mean and deviation of the intensity, and how much of each surface was read in detail. Statistics "
        "writes a table node, CSV, or the run record as JSON. The class weights are a chart node of the scene too.",
        "Slicer's plot view with its turned labels; the stand-in draws the same nodes plainly.",
    ),
    Stop(
        "08-models",
        (7,),
        "The models' browser",
        "Search, description in plain words, licence, training data and the time on this machine as it was measured. "
        "Download asks first and names size and host; a model comes from a file, a folder or an address as well.",
        "File dialogs, and a window of the desktop.",
    ),
    Stop(
        "09-compare",
        (7,),
        "Two ways, side by side",
        "Two models, methods or efforts on the same volume: here the overview alone against ten patches. Four linked "
        "views, and a table with time, memory and, per structure, volumes and Dice between A and B. *My own views* "
        "brings the layout of before back.",
        "Scrolling both columns together.",
    ),
    Stop(
        "10-more-studies",
        (8,),
        "A queue for the lunch break",
        "Left: one study done, one at work, one waiting. Right: the broken one has failed, the others stand; its "
        "reason is in the row's tool tip. Resume tries what is not done again; the results are a table node and a CSV. "
        "Frames of a sequence and folder trees are the other two sources; the command line goes on with the latter.",
        "A sequence that plays with its segmentations.",
    ),
    Stop(
        "11-set-up",
        (9, 10),
        "Set-up and help",
        "Left: what a first run finds where PyTorch is missing (played: here it is installed), and the ways out: "
        "install, a folder of wheels without a network, another Python. Middle: all is there, and the device test has "
        "timed patches. Right: each failure in plain words.",
        "The PyTorch extension's own installation, a GPU in the list of devices, and Slicer's restart.",
    ),
    Stop(
        "12-dark",
        (10,),
        "350 pixels, dark theme, tutorial",
        "The whole panel at 350 pixels, as all panels of this tour; nothing is cut off, and signs stand beside "
        "colours. Where a place is still being put into words, … stands for it. The tutorial's pictures are made by a "
        "test that goes through it.",
        "Slicer's own icons: the eyes of the segments table are the stand-in's, and too dark here. Screen readers, "
        "and the order of Tab.",
    ),
    Stop(
        "13-dropped-tokens",
        (),
        "Dropped tokens",
        "For networks that stop computing where nothing is to be found: each colour is a step at which tokens were "
        "dropped, and its share is said. **The model is untrained**: its weights are random, as its name says, so its "
        "labels and what it drops mean nothing; the picture shows that map, legend and boxes lie where they should. "
        "Segments are hidden.",
        "Nothing more than for the boxes.",
    ),
)


def page() -> str:
    """The tour as Markdown."""
    where = {item: [stop for stop in STOPS if item in stop.items] for item in ITEMS}
    rows = [f"| {item} | {name} | {', '.join(_link(stop) for stop in where[item])} |" for item, name in ITEMS.items()]
    parts = [_HEAD, "| | Item | Pictures |", "| --- | --- | --- |", *rows, ""]
    for stop in STOPS:
        number = stop.picture.split("-", 1)[0].lstrip("0")
        parts += [f"## {number}. {stop.title}", "", f"![{stop.title}]({stop.picture}.png)", "", stop.seen, ""]
        parts += [f"*Only in Slicer:* {stop.only}", ""]
    return "\n".join(parts)


def _link(stop: Stop) -> str:
    return f"[{stop.title}]({stop.picture}.png)"


_HEAD = """# A tour of the panel

Made by `python Testing/benchmarks/panel_tour.py`, which goes through the panel click by click in the stand-in for
Slicer (its own scene, logics and slice drawing; Qt's widgets), with the real worker, the shipped demo model and the
shipped sample CT. The model was trained on this very scan among others: the pictures show the way of working, and
nothing about accuracy. All panels are 350 pixels wide.
"""
