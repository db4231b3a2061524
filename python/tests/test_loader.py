"""Batches of the loader."""

import os
import signal
import threading
from collections import deque
from types import MappingProxyType

import ijepa
import numpy as np
import pytest

SCENES = "scenes:kind=texture,n=20,size=32"


def loader(workers=2, **settings):
    return ijepa.Loader(SCENES, size=24, batch_size=6, workers=workers, seed=5, **settings)


def test_batches_do_not_depend_on_the_number_of_workers():
    one, two = list(loader(workers=1)), list(loader(workers=2))
    assert len(one) == len(two) == len(loader()) == 3
    for (images, labels), (same_images, same_labels) in zip(one, two):
        assert (images.shape, images.dtype) == ((6, 24, 24, 3), np.uint8)
        assert (labels.shape, labels.dtype) == ((6,), np.int64)
        np.testing.assert_array_equal(images, same_images)
        np.testing.assert_array_equal(labels, same_labels)
    assert not np.array_equal(one[0][0], one[1][0])


def test_every_epoch_has_its_order_and_can_be_begun_with():
    batches = loader()
    first, second = list(batches), list(batches)
    assert batches.step == 6
    assert not np.array_equal(first[0][0], second[0][0])
    resumed = loader(start_step=4)
    rest = list(resumed)
    assert len(rest) == 2
    np.testing.assert_array_equal(rest[0][0], second[1][0])
    # One that was broken off goes on, also one of which no epoch was begun.
    for broken in [loader(), loader(start_step=3)]:
        next(broken)
        assert len(list(broken)) == 2


def test_arrays_take_over_the_memory_of_batches():
    (images, _), *_ = loader()
    assert not images.flags.owndata
    assert images.flags.writeable
    owner = images
    while isinstance(owner, np.ndarray):
        owner = owner.base
    assert type(owner).__name__ == "PySliceContainer"


def test_labels_are_those_of_the_data():
    batches = loader()
    assert batches.num_images == 20
    assert batches.classes == [] or len(batches.classes) > 1
    labels = np.concatenate([labels for _, labels in batches])
    assert labels.min() >= 0
    assert len(np.unique(labels)) > 1


def test_a_folder_without_classes_has_no_labels_and_bad_images_are_listed(photos):
    folder, paths = photos
    paths[2].write_bytes(b"no image")
    batches = ijepa.Loader(folder, size=16, batch_size=4)
    ((images, labels),) = batches
    assert images.shape == (4, 16, 16, 3)
    assert labels.tolist() == [-1] * 4
    assert batches.classes == []
    assert [(path.endswith("2.ppm"), bool(why)) for path, why in batches.skipped] == [(True, True)]


def test_a_recipe_says_size_batch_and_crops():
    changes = {"run.batch_size": 12, "mask.group_size": 6, "data.crop_scale": [0.9, 1.0]}
    changes = MappingProxyType(changes)
    batches = ijepa.Loader([SCENES, SCENES], recipe="scenes_vit_nano", overrides=changes)
    assert len(batches) == 40 // 12
    images, _ = next(iter(batches))
    assert images.shape == (12, 32, 32, 3)


def test_data_that_cannot_be_used_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        ijepa.Loader("nowhere")
    with pytest.raises(FileNotFoundError, match="no file matches"):
        ijepa.Loader(f"parquet:{tmp_path}/*.parquet")
    with pytest.raises(ValueError, match="kind"):
        ijepa.Loader("scenes:kind=people")
    with pytest.raises(ValueError, match="20 images"):
        ijepa.Loader(SCENES, batch_size=21)
    with pytest.raises(ValueError, match="crop_scale"):
        ijepa.Loader(SCENES, overrides={"data.crop_scale": [0.0, 1.0]})


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
def test_a_forked_child_is_told_that_its_loader_has_no_threads():
    batches = iter(loader())
    child = os.fork()
    if child == 0:
        try:
            next(batches)
        except RuntimeError as error:
            is_told = "forked" in str(error)
            del batches
            os._exit(0 if is_told else 1)
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert len(list(batches)) == 3


def test_another_thread_may_ask_how_far_a_loader_is():
    batches = iter(loader())
    seen = []
    stop = threading.Event()

    def watch():
        while not stop.is_set():
            seen.append((batches.step, batches.skipped))

    watcher = threading.Thread(target=watch)
    watcher.start()
    made = len(list(batches))
    stop.set()
    watcher.join()
    assert made == 3 and batches.step == 3
    assert all(0 <= step <= 3 and not skipped for step, skipped in seen)


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="sends signals")
def test_no_batch_is_lost_to_a_handler_that_raises():
    class Stop(Exception):
        pass

    def stop(*_):
        raise Stop

    def slow():
        return ijepa.Loader("scenes:n=24,size=64", size=32, batch_size=4, workers=1, seed=5)

    expected, batches, found = list(slow()), slow(), deque()
    before = signal.signal(signal.SIGALRM, stop)
    raised, done = 0, False
    while not done:
        # The last signal may come when all batches are there.
        try:
            while len(found) < len(batches):
                signal.setitimer(signal.ITIMER_REAL, 0.001)
                # Takes batches without a step of Python between them, in which signals would be handled.
                found.extend(batches)
            signal.setitimer(signal.ITIMER_REAL, 0)
            done = True
        except Stop:
            assert batches.step == len(found)
            raised += 1
    signal.signal(signal.SIGALRM, before)
    assert raised > 0
    for (images, _), (same, _) in zip(expected, found):
        np.testing.assert_array_equal(images, same)


def test_steps_that_nobody_makes_are_refused():
    with pytest.raises(ValueError, match="start_step"):
        ijepa.Loader(SCENES, batch_size=5, start_step=2**64 - 1)


def test_numbers_of_numpy_are_values_of_keys():
    changed = ijepa.Loader(SCENES, overrides={"run.batch_size": np.int64(5), "data.flip": np.bool_(True)})
    assert len(changed) == 4
