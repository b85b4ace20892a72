"""The dataset ixi:DIR on files named as the IXI project names them."""

from __future__ import annotations

import numpy as np
import pytest

from nriqm_bench import datasets
from nriqm_bench.datasets import readers
from nriqm_bench.datasets.ixi import ixi, scan

PEOPLE = ("IXI002-Guys-0828", "IXI012-HH-1211", "IXI035-IOP-0873")
MM = (1.0, 1.0, 4.0)


@pytest.fixture
def vessels(heads):
    """An angiogram: a dim head with bright vessels across it, and their mask."""

    def vessels(seed=0):
        data, _ = heads.head(seed, tumour=(0, 0))
        mask = np.zeros(data.shape, np.uint8)
        for z in range(data.shape[2]):
            mask[10 + z, 15:17, z] = 1
            mask[20, 10 + z, z] = 2
        return np.where(mask > 0, 1500 + 20 * seed, data // 3).astype(np.int16), mask

    return vessels


@pytest.fixture
def write(tmp_path, heads, vessels):
    """Write the volumes of some people; gives the folder."""

    def write(people=PEOPLE, contrasts=("MRA",), *, mask="", place="ixi", ending=".nii.gz", **how):
        for i, person in enumerate(people):
            for contrast in contrasts:
                data, labels = vessels(i) if contrast == "MRA" else heads.head(i)
                folder = tmp_path / place / f"IXI-{contrast}"
                options = {"mm": MM} | how
                heads.save(folder / f"{person}-{contrast}{ending}", data, **options)
                if mask and contrast == "MRA":
                    heads.save(folder / f"{person}-{contrast}{mask}{ending}", labels, **options)
        return tmp_path / place

    return write


def slabs(volume, cuts):
    return np.stack([volume[low:high].max(axis=0) for low, high in cuts])


def test_names_tell_subject_and_site(write, split_apart):
    root = write(contrasts=("MRA", "T1"))
    assert [(c.subject, c.site) for c in scan(root).cases] == [
        ("IXI002", "Guys"),
        ("IXI012", "HH"),
        ("IXI035", "IOP"),
    ]
    assert not scan(root).notes
    for found in split_apart(ixi, root).values():
        told = dict(zip(found.subjects.tolist(), found.sites.tolist(), strict=True))
        assert told.items() <= {"IXI002": "Guys", "IXI012": "HH", "IXI035": "IOP"}.items()
        assert found.masks is None


@pytest.mark.parametrize("ending", [".nii", ".nii.gz"])
@pytest.mark.parametrize("codes", ["RAS", "LPS", "PIR"])
def test_angiograms_are_projected_in_slabs(write, heads, vessels, ending, codes):
    # 20 slices of 4 mm: four slabs of 20 mm, five slices each.
    root = write(codes=codes, ending=ending, mask="_seg")
    found = ixi(root)
    (i,) = (i for i, person in enumerate(PEOPLE) if person.startswith(found.subjects[0]))
    data, labels = (heads.seen(a) for a in vessels(i))
    cuts = [(0, 5), (5, 10), (10, 15), (15, 20)]
    assert found.images[:, 0] == pytest.approx(heads.unit(slabs(data, cuts)), abs=1e-6)
    # Labels of two kinds of vessel become one: 2 would be read as a centre line.
    assert np.array_equal(found.masks, slabs(labels, cuts) > 0)
    assert set(np.unique(labels)) == {0, 1, 2}
    assert found.spacing == (1.0, 1.0)


def test_a_vessel_is_a_line_in_a_slab_and_a_dot_in_a_slice(write):
    found = ixi(write(mask="_seg"))
    # The second vessel climbs by a row a slice: five pixels of it in a row, slab after slab.
    for k, mask in enumerate(found.masks):
        assert mask[29 - 5 * k : 34 - 5 * k, 20].all()
        assert not mask[: 29 - 5 * k, 20].any()
    assert found.images[:, 0][found.masks > 0].min() > 0.9


@pytest.mark.parametrize(
    ("thickness", "cuts"),
    [
        # 100 mm: stretches of 25 mm, the middle 20 mm of each.
        (5.0, [(0, 4), (5, 9), (10, 14), (15, 19)]),
        # 10 mm: slabs of a quarter each, and never the same slice twice.
        (0.5, [(0, 5), (5, 10), (10, 15), (15, 20)]),
        # Slices thicker than a slab are taken one by one.
        (50.0, [(2, 3), (7, 8), (12, 13), (17, 18)]),
    ],
)
def test_slabs_are_20_mm_at_most(write, heads, vessels, thickness, cuts):
    found = ixi(write(mm=(1.0, 1.0, thickness)))
    (i,) = (i for i, person in enumerate(PEOPLE) if person.startswith(found.subjects[0]))
    wanted = heads.unit(slabs(heads.seen(vessels(i)[0]), cuts))
    assert found.images[:, 0] == pytest.approx(wanted, abs=1e-6)


@pytest.mark.parametrize("contrast", ["T1", "t2", "PD"])
def test_other_contrasts_are_slices(write, heads, contrast):
    root = write(contrasts=("MRA", contrast.upper()))
    found = ixi(root, contrast=contrast)
    (i,) = (i for i, person in enumerate(PEOPLE) if person.startswith(found.subjects[0]))
    whole = heads.unit(heads.seen(heads.head(i)[0])).astype(np.float32)
    assert found.images[:, 0] == pytest.approx(whole[readers.axial(whole)], abs=1e-6)


def test_sagittal_acquisition_gives_square_pixels(write):
    # T1 of IXI: sagittal slices of 1.2 mm with pixels of 0.9375 mm.
    root = write(contrasts=("T1",), mm=(1.2, 0.9375, 0.9375), codes="PSR")
    found = ixi(root, contrast="t1")
    assert found.spacing == (0.9375, 0.9375)
    assert found.spatial == (44, round(40 * 1.2 / 0.9375))


@pytest.mark.parametrize("mark", ["_seg", "-seg", "_mask", "-mask"])
def test_masks_stand_beside(write, mark):
    root = write(mask=mark)
    assert not scan(root).notes
    assert ixi(root).masks.any()


def test_masks_for_all_or_the_others_are_left_out(write, tmp_path):
    people = [*PEOPLE, "IXI040-Guys-0724"]
    root = write(people, mask="_seg")
    (root / "IXI-MRA" / "IXI040-Guys-0724-MRA_seg.nii.gz").unlink()
    assert scan(root).left_out("mra") == ["IXI040-Guys-0724: no mask"]
    assert {e.subject for e in scan(root).entries("mra")} == {"IXI002", "IXI012", "IXI035"}


def test_a_missing_contrast_and_other_names_are_told(write):
    root = write([*PEOPLE, "IXI040-Guys-0724"], contrasts=("MRA", "PD"))
    (root / "IXI-PD" / "IXI040-Guys-0724-PD.nii.gz").unlink()
    (root / "IXI002-Guys-0828-DTI-00.nii.gz").touch()
    (root / "IXI050-Guys-0711-MRA_seg.nii.gz").touch()
    inventory = scan(root)
    assert inventory.left_out("pd") == ["IXI040-Guys-0724: no pd"]
    assert [note.partition(" ")[0] for note in inventory.notes] == [
        "IXI002-Guys-0828-DTI-00.nii.gz",
        "IXI050-Guys-0711-MRA_seg.nii.gz",
    ]
    with pytest.raises(ValueError, match="'dti', must be one of mra, t1, t2, pd for ixi: write"):
        datasets.open(f"ixi:{root}?contrast=dti")
    with pytest.raises(ValueError, match=r"no t1 volume.*\?contrast=NAME: mra \(4\), pd \(3\)"):
        datasets.open(f"ixi:{root}?contrast=t1")


def test_masks_show_vessels_here_and_lesions_elsewhere(write, tmp_path):
    assert datasets.open(f"ixi:{write()}").region == "vessel"
    assert datasets.open("phantom-tumour").region == "lesion"
    assert datasets.open(f"folder:{tmp_path}").region == "lesion"
