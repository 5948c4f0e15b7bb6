import torch
from torch import Generator

from training.data.augmentation import augment, choose_patches
from training.recipe import Augmentation

NOTHING = Augmentation(area=(1.0, 1.0), rotation_degrees=0, brightness=(1.0, 1.0))


def seeded(seed=0):
    return Generator().manual_seed(seed)


def test_doing_nothing_changes_nothing():
    images = torch.rand(3, 1, 40, 40)
    torch.testing.assert_close(augment(images, NOTHING, seeded()), images, atol=1e-5, rtol=0)


def test_the_same_generator_gives_the_same_images():
    images = torch.rand(3, 1, 40, 40)
    config = Augmentation(blur_probability=0.5, flip_probability=0.5)
    torch.testing.assert_close(augment(images, config, seeded()), augment(images, config, seeded()), atol=0, rtol=0)
    assert not torch.equal(augment(images, config, seeded()), augment(images, config, seeded(1)))


def test_values_stay_in_range_and_images_differ():
    images = torch.rand(1, 1, 40, 40).expand(5, -1, -1, -1)
    changed = augment(images, Augmentation(), seeded())
    assert changed.shape == images.shape
    assert 0 <= changed.min() <= changed.max() <= 1
    assert not torch.equal(changed[0], changed[1])


def test_a_flip_swaps_left_and_right_only():
    images = torch.rand(2, 1, 40, 40)
    flipped = augment(images, NOTHING.model_copy(update={"flip_probability": 1.0}), seeded())
    torch.testing.assert_close(flipped, images.flip(-1), atol=1e-4, rtol=0)


def test_a_crop_enlarges():
    image = torch.zeros(1, 1, 64, 64)
    image[..., 24:40, 24:40] = 1
    config = NOTHING.model_copy(update={"area": (0.25, 0.25)})
    areas = [float(augment(image, config, seeded(seed)).sum()) for seed in range(20)]
    assert max(areas) > 3.5 * float(image.sum())


def test_brightness_scales():
    images = torch.full((2, 1, 16, 16), 0.5)
    dark = augment(images, NOTHING.model_copy(update={"brightness": (0.7, 0.7)}), seeded())
    torch.testing.assert_close(dark, torch.full_like(images, 0.35), atol=1e-5, rtol=0)


def test_blur_takes_detail_away():
    images = torch.rand(4, 1, 64, 64)
    blurred = augment(images, NOTHING.model_copy(update={"blur_probability": 1.0}), seeded())
    assert blurred.std() < 0.6 * images.std()
    assert abs(float(blurred.mean() - images.mean())) < 0.02


def test_half_of_the_patches_are_drawn_without_repeats():
    patches = torch.arange(30.0).reshape(3, 10, 1, 1, 1).expand(-1, -1, 1, 2, 2)
    chosen = choose_patches(patches, 0.5, seeded())
    assert chosen.shape == (3, 5, 1, 2, 2)
    for image in range(3):
        values = chosen[image, :, 0, 0, 0].tolist()
        assert len(set(values)) == 5
        assert set(values) <= set(patches[image, :, 0, 0, 0].tolist())
    assert choose_patches(patches, 1.0, seeded()) is patches
    assert choose_patches(patches, 0.01, seeded()).shape[1] == 1


def test_only_sharp_images_are_blurred_and_others_stay_as_they_are():
    images = torch.rand(4, 1, 64, 64)
    config, sharp = NOTHING.model_copy(update={"blur_probability": 1.0}), torch.tensor([True, False, True, False])
    changed = augment(images, config, seeded(), sharp=sharp)
    torch.testing.assert_close(changed[~sharp], images[~sharp], atol=1e-5, rtol=0)
    assert changed[sharp].std() < 0.6 * images[sharp].std()
