"""Losses of slices, against the same formulas written out slice by slice and pixel by pixel."""

import math

import pytest
import torch

from EfficientSegLib.training import slice_losses
from EfficientSegLib.training.losses import IGNORE
from EfficientSegLib.training.slice_losses import Truth

B, K, H, W = 3, 2, 5, 4
WEIGHTS = torch.tensor([1.0, 5.0])


@pytest.fixture
def logits():
    return 2 * torch.randn(B, K, H, W, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def target():
    return torch.randint(0, K + 1, (B, H, W), generator=torch.Generator().manual_seed(1)).to(torch.uint8)


def truth(target, annotated=None):
    annotated = torch.ones(len(target), K + 1, dtype=torch.bool) if annotated is None else annotated
    return Truth.of(target, annotated)


def pixels():
    return [(h, w) for h in range(H) for w in range(W)]


def p(logit):
    return 1 / (1 + math.exp(-float(logit)))


def test_dice_is_the_mean_over_slices_and_labels_absent_ones_too(logits, target):
    target[0] = 0  # a slice without any label
    expected = []
    for b in range(B):
        for k in range(K):
            found = [p(logits[b, k, h, w]) for h, w in pixels()]
            true = [float(target[b, h, w] == k + 1) for h, w in pixels()]
            overlap = sum(f * t for f, t in zip(found, true))
            expected.append(1 - (2 * overlap + 1e-6) / (sum(found) + sum(true) + 1e-6))
    t = truth(target)
    found = slice_losses.soft_dice(logits.sigmoid(), t.masks, t.known)
    assert float(found) == pytest.approx(sum(expected) / len(expected), abs=1e-6)


def test_focal_is_the_mean_of_weighted_binary_cross_entropies_that_are_small_where_all_is_well(logits, target):
    total = 0.0
    for b in range(B):
        for k in range(K):
            for h, w in pixels():
                likely = p(logits[b, k, h, w]) if target[b, h, w] == k + 1 else 1 - p(logits[b, k, h, w])
                total += float(WEIGHTS[k]) * (1 - likely) ** 2 * -math.log(likely)
    found = slice_losses.focal(logits, truth(target), WEIGHTS, gamma=2.0)
    assert float(found) == pytest.approx(total / (B * K * H * W), rel=1e-5)


def test_cross_entropy_has_a_background_of_zero(logits, target):
    total, weight = 0.0, 0.0
    for b in range(B):
        for h, w in pixels():
            scores = [0.0, *(float(logits[b, k, h, w]) for k in range(K))]
            own, share = int(target[b, h, w]), (1.0, *WEIGHTS.tolist())[int(target[b, h, w])]
            total += share * (math.log(sum(map(math.exp, scores))) - scores[own])
            weight += share
    found = slice_losses.cross_entropy(logits, truth(target), WEIGHTS)
    assert float(found) == pytest.approx(total / weight, rel=1e-5)


def test_background_pixels_teach_every_label_to_stay_away():
    logits = torch.zeros(1, K, 2, 2, requires_grad=True)
    slice_losses.cross_entropy(logits, truth(torch.zeros(1, 2, 2, dtype=torch.uint8)), WEIGHTS).backward()
    assert (logits.grad > 0).all()  # the reference's lowers the first label's logit here


def test_sobel_sees_steps_and_neither_planes_nor_the_rim():
    step = torch.zeros(1, 1, 6, 6)
    step[..., 3:] = 1
    edges = slice_losses.sobel(step)[0, 0]
    expected = torch.zeros(6, 6)
    expected[:, 2:4] = 1
    torch.testing.assert_close(edges, expected, atol=2e-4, rtol=0)
    torch.testing.assert_close(slice_losses.sobel(step.mT)[0, 0], expected.T, atol=2e-4, rtol=0)


def test_boundary_is_the_squared_dice_of_edges(logits, target):
    def edges(image):  # (H, W) -> magnitudes, the rim repeated
        rows = []
        for h in range(H):
            for w in range(W):
                part = [
                    [float(image[min(max(h + i, 0), H - 1), min(max(w + j, 0), W - 1)]) for j in (-1, 0, 1)]
                    for i in (-1, 0, 1)
                ]
                across = sum(s * (row[2] - row[0]) for s, row in zip((1, 2, 1), part)) / 4
                down = sum(s * (part[2][j] - part[0][j]) for j, s in enumerate((1, 2, 1))) / 4
                rows.append(math.sqrt(across**2 + down**2 + 1e-8))
        return rows

    expected = []
    for b in range(B):
        for k in range(K):
            found, true = edges(logits[b, k].sigmoid()), edges(target[b] == k + 1)
            overlap = sum(f * t for f, t in zip(found, true))
            total = sum(f * f for f in found) + sum(t * t for t in true)
            expected.append(1 - (2 * overlap + 1e-6) / (total + 1e-6))
    found = slice_losses.boundary(logits, truth(target))
    assert float(found) == pytest.approx(sum(expected) / len(expected), abs=1e-5)


def test_boundary_vanishes_where_the_head_draws_the_mask(target):
    perfect = (truth(target).masks * 2 - 1) * 50
    assert float(slice_losses.boundary(perfect, truth(target))) < 1e-5


def test_presence_is_whether_any_pixel_has_the_label(target):
    target[0], target[1] = 0, 2
    logits = torch.tensor([[0.3, -1.0], [2.0, 0.5], [-0.7, 1.5]])
    seen = [[0, 0], [0, 1], [int((target[2] == 1).any()), int((target[2] == 2).any())]]
    expected = [-math.log(p(x) if s else 1 - p(x)) for row, sees in zip(logits, seen) for x, s in zip(row, sees)]
    found = slice_losses.presence(logits, truth(target))
    assert float(found) == pytest.approx(sum(expected) / 6, rel=1e-5)


def all_losses(logits, t):
    return {
        "dice": slice_losses.soft_dice(logits.sigmoid(), t.masks, t.known),
        "focal": slice_losses.focal(logits, t, WEIGHTS),
        "ce": slice_losses.cross_entropy(logits, t, WEIGHTS),
        "boundary": slice_losses.boundary(logits, t),
        "presence": slice_losses.presence(logits.mean((2, 3)), t),
    }


def test_ignored_pixels_have_no_gradient(logits, target):
    target[:, :2] = IGNORE
    for name in ("dice", "focal", "ce", "boundary"):
        given = logits.clone().requires_grad_()
        all_losses(given, truth(target))[name].backward()
        assert bool(given.grad[:, :, 3:].any()), name
        # Edges reach one pixel further: a Sobel mask in row 3 looks at row 2, whose own edge is not known.
        assert not given.grad[:, :, :2].any(), name


def test_a_label_that_nobody_drew_in_a_case_takes_no_part_there(logits, target):
    annotated = torch.ones(B, K + 1, dtype=torch.bool)
    annotated[0, 2] = False
    target[0][target[0] == 2] = 0
    for name in all_losses(logits, truth(target)):
        given = logits.clone().requires_grad_()
        all_losses(given, truth(target, annotated))[name].backward()
        assert not given.grad[0, 1].any(), name
        assert bool(given.grad[0, 0].any()) and bool(given.grad[1, 1].any()), name
    changed = logits.clone()
    changed[0, 1] += 3
    one, other = (all_losses(x, truth(target, annotated)) for x in (logits, changed))
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_where_some_pixels_are_ignored_only_a_label_that_is_seen_is_known(target):
    target[:] = 0
    target[0, 0, 0] = IGNORE  # label 1 and 2 of slice 0 may hide there
    target[0, 1, 1] = 1
    logits = torch.zeros(B, K, requires_grad=True)
    slice_losses.presence(logits, truth(target)).backward()
    assert (logits.grad != 0).tolist() == [[True, False], [True, True], [True, True]]


def test_where_nothing_is_known_nothing_is_taught_and_nothing_breaks(logits, target):
    for t in (truth(torch.full_like(target, IGNORE)), truth(target, torch.zeros(B, K + 1, dtype=torch.bool))):
        given = logits.clone().requires_grad_()
        terms = all_losses(given, t)
        background_alone = terms.pop("ce")  # without a label, background is all there is: certain, and so 0
        sum(terms.values(), background_alone).backward()
        assert all(float(term.detach()) == 0 for term in (background_alone, *terms.values()))
        assert torch.equal(given.grad, torch.zeros_like(given))


def test_a_perfect_answer_costs_nothing(target):
    t = truth(target)
    perfect = (t.masks * 2 - 1) * 50
    terms = all_losses(perfect, t)
    present = t.masks.flatten(2).any(2)
    assert present.all()
    assert all(float(terms[name]) < 1e-5 for name in ("dice", "focal", "ce", "boundary"))
