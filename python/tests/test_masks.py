"""Masks: those of the reference code, and those of runs."""

import inspect
import json

import ijepa
import numpy as np
import pytest
from conftest import REPOSITORY, answer, safetensors

GOLDEN = REPOSITORY / "crates/ijepa-masking/tests/golden/mask_exact"


def golden_cases():
    return json.loads(GOLDEN.with_suffix(".json").read_text())["cases"]


def settings(case):
    keys = {
        "num_targets": case["npred"],
        "num_contexts": case["nenc"],
        "target_scale": case["pred_mask_scale"],
        "target_aspect": tuple(case["aspect_ratio"]),
        "context_scale": case["enc_mask_scale"],
        "min_keep": case["min_keep"],
        "allow_overlap": case.get("allow_overlap", False),
    }
    return {
        "overrides": {f"mask.{key}": value for key, value in keys.items()},
        "image_size": case["crop"],
        "patch_size": case["patch"],
        "seed": case["global_seed"],
    }


@pytest.mark.parametrize("name", golden_cases())
def test_masks_are_those_of_the_reference_bit_for_bit(name):
    case, expected = golden_cases()[name], safetensors(GOLDEN.with_suffix(".safetensors"))
    collator = ijepa.MaskCollator(**settings(case))
    batch = [np.zeros(2, np.float32)] * case["batch"]
    for iteration in range(case["iterations"]):
        samples, contexts, targets = collator(batch)
        assert samples.shape == (case["batch"], 2)
        for kind, masks in [("enc", contexts), ("pred", targets)]:
            for number, mask in enumerate(masks):
                mask = np.asarray(mask)
                assert mask.dtype == np.int64
                np.testing.assert_array_equal(mask, expected[f"{name}.it{iteration}.{kind}{number}"])
    # The first batch has no state.
    contexts, targets = ijepa.masks(n=case["batch"], **settings(case))
    np.testing.assert_array_equal(contexts[0], expected[f"{name}.it0.enc0"])
    assert (len(contexts), len(targets)) == (case["nenc"], case["npred"])


def test_masks_of_a_run_are_those_of_the_command():
    recipe = "scenes_vit_nano"
    said = answer("masks", "--recipe", recipe, "--seed", 3)
    contexts, targets = ijepa.masks(recipe, seed=3, generator="ijepa")
    assert len(contexts[0]) == said["group_size"]
    assert [mask[0].tolist() for mask in contexts] == said["groups"][0]["contexts"]
    assert [mask[0].tolist() for mask in targets] == said["groups"][0]["targets"]
    other_step, _ = ijepa.masks(recipe, seed=3, step=1, generator="ijepa")
    assert not np.array_equal(other_step[0], contexts[0])
    sampler = ijepa.MaskSampler(recipe, seed=3, generator="ijepa")
    assert sampler.grid == (said["rows"], said["cols"])
    # A function of seed and step, whatever was drawn before.
    sampler.sample(4, 7)
    np.testing.assert_array_equal(sampler.sample(len(contexts[0]), 0)[0][0], contexts[0])


def test_the_recipe_of_no_name_is_that_of_the_command():
    for takes_one in [ijepa.MaskSampler, ijepa.MaskCollator, ijepa.masks]:
        default = inspect.signature(takes_one).parameters["recipe"].default
        assert default == ijepa.DEFAULT_RECIPE
    assert answer("masks")["recipe"] == ijepa.DEFAULT_RECIPE


def test_masks_that_cannot_be_drawn_are_refused():
    with pytest.raises(ValueError, match="no preset is named `in1k`"):
        ijepa.masks("in1k")
    with pytest.raises(FileNotFoundError, match="none.toml"):
        ijepa.masks("none.toml")
    with pytest.raises(ValueError, match="mask.num_target`|num_targets"):
        ijepa.masks(overrides={"mask.num_target": 4})
    with pytest.raises(ValueError, match="num_targets"):
        ijepa.masks(overrides={"mask.num_targets": 0})
    with pytest.raises(ValueError, match="unknown generator `numpy`"):
        ijepa.masks(generator="numpy")
    with pytest.raises(ValueError, match="no images"):
        ijepa.masks(n=0)


def test_samples_of_several_fields_are_collated_one_by_one():
    batch = [(np.full((3, 2), index, np.float32), index) for index in range(4)]
    (images, labels), contexts, targets = ijepa.MaskCollator()(batch)
    assert tuple(images.shape) == (4, 3, 2)
    assert labels.tolist() == [0, 1, 2, 3]
    assert {len(mask) for mask in [*contexts, *targets]} == {4}


def test_a_collator_goes_on_where_another_stopped():
    batch, settings = [np.zeros(2, np.float32)] * 4, {"seed": 3, "generator": "ijepa"}
    whole = ijepa.MaskCollator(**settings)
    contexts = [np.asarray(whole(batch)[1][0]) for _ in range(3)]
    assert whole.step == 3
    later = ijepa.MaskCollator(**settings, start_step=2)
    assert later.step == 2
    np.testing.assert_array_equal(np.asarray(later(batch)[1][0]), contexts[2])
    assert not np.array_equal(contexts[2], contexts[0])


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("start", ["fork", "spawn"])
def test_a_data_loader_of_pytorch_takes_the_collator(workers, start):
    torch = pytest.importorskip("torch")
    data = torch.utils.data.TensorDataset(torch.arange(64).float())

    def contexts_of(generator):
        collator = ijepa.MaskCollator(generator=generator)
        processes = {"num_workers": workers, "multiprocessing_context": start if workers else None}
        loader = torch.utils.data.DataLoader(data, batch_size=8, collate_fn=collator, **processes)
        found = []
        for (values,), contexts, targets in loader:
            assert values.shape == (8,)
            assert [mask.dtype for mask in [*contexts, *targets]] == [torch.int64] * 5
            found.append(contexts[0].numpy().tobytes())
        assert len(set(found)) == 8, "no two batches have the same masks"
        return found

    contexts_of("reference")
    # Steps are drawn by whichever worker comes first.
    alone = [ijepa.masks(n=8, step=step, generator="ijepa") for step in range(8)]
    assert set(contexts_of("ijepa")) == {contexts[0].tobytes() for contexts, _ in alone}


def test_views_are_no_masks():
    with pytest.raises(ValueError, match="views instead of masks"):
        ijepa.masks(n=2, overrides={"objective.kind": "lejepa"})
