"""Encoders from every kind of spec, their fingerprints, and weights that are missing, cut or hostile."""

import json
import logging
import pickle
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pytest
import torch
from open_clip.transform import PreprocessCfg, image_transform_v2
from PIL import Image
from safetensors.torch import load_file, save_file

from engine.encoders import CONFIG_FILE, MERGES_FILE, STARTER_FOLDER, WEIGHTS_FILE, Encoder, load_encoder
from engine.errors import ConfigError, EncoderUnavailable
from engine.media.fitting import ImageInput
from engine.types import Modality
from indexer.starter.words import write_merges
from tests.models import MODEL, write_tiny_model

NAME = "rebus-test-tiny"


@pytest.fixture(scope="module")
def encoder_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model with open_clip's whole vocabulary."""
    return write_tiny_model(tmp_path_factory.mktemp("encoder"), merges=None)


@pytest.fixture(scope="module")
def encoder(encoder_folder: Path) -> Encoder:
    return load_encoder(str(encoder_folder), "cpu")


@pytest.fixture(scope="module")
def registered(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The tiny model's name among open_clip's own."""
    path = tmp_path_factory.mktemp("configs") / f"{NAME}.json"
    path.write_text(json.dumps(MODEL))
    open_clip.add_model_config(path)
    return NAME


@pytest.fixture
def folder(encoder_folder: Path, tmp_path: Path) -> Path:
    """A copy of the tiny model that a test may change."""
    return Path(shutil.copytree(encoder_folder, tmp_path / "encoder"))


def pictures() -> list[Image.Image]:
    noise = np.random.default_rng(0).integers(0, 255, (40, 60, 3)).astype(np.uint8)
    return [Image.new("RGB", (60, 40), "red"), Image.fromarray(noise), Image.new("RGB", (10, 90), "blue")]


def assert_same_space(one: Encoder, other: Encoder) -> None:
    np.testing.assert_allclose(one.encode_text(["a boat"]), other.encode_text(["a boat"]), atol=1e-5)


# --- what it makes ---


def test_embeddings_are_unit_rows_of_the_promised_width(encoder: Encoder) -> None:
    texts = ["a boat", "船", "", "a very long sentence " * 40]
    for rows, modality in (
        (encoder.encode_text(texts), Modality.TEXT),
        (encoder.encode_images(pictures()), Modality.IMAGE),
    ):
        assert rows.dtype == np.float32 and rows.shape[1] == encoder.dims[modality] == 64
        np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-5)
        assert len({row.tobytes() for row in rows}) == len(rows)


def test_fitted_pixels_are_encoded_as_open_clip_prepares_pictures(encoder: Encoder) -> None:
    fitted = np.stack([encoder.image_input.fit(picture) for picture in pictures()])
    assert fitted.shape == (3, 32, 32, 3) and encoder.image_input.shorter_side == 32
    np.testing.assert_allclose(encoder.encode_pixels(fitted), encoder.encode_images(pictures()), atol=1e-6)


@pytest.mark.parametrize("mode", ["shortest", "longest", "squash"])
@pytest.mark.parametrize("size", [(224, 224), (96, 64)])
def test_fitting_is_open_clips_own_preprocessing_to_the_bit(mode: Any, size: tuple[int, int]) -> None:
    settings = PreprocessCfg(size=size, resize_mode=mode, mean=(0, 0, 0), std=(1, 1, 1))
    theirs, ours = image_transform_v2(settings, is_train=False), ImageInput(*size, mode)
    rng = np.random.default_rng(0)
    for width, height in ((640, 480), (481, 640), (333, 1001), (224, 224), (100, 57), (225, 224), (31, 33)):
        picture = Image.fromarray(rng.integers(0, 255, (height, width, 3), dtype=np.uint8))
        expected = (theirs(picture).numpy() * 255).round().astype(np.uint8).transpose(1, 2, 0)
        np.testing.assert_array_equal(ours.fit(picture), expected)


def test_a_batch_does_not_change_its_rows(encoder: Encoder) -> None:
    alone = np.concatenate([encoder.encode_images([picture]) for picture in pictures()])
    np.testing.assert_allclose(encoder.encode_images(pictures()), alone, atol=1e-5)


def test_what_is_past_the_context_is_cut(encoder: Encoder) -> None:
    one, other = ("boat " * 30 + end for end in ("tree", "house"))
    np.testing.assert_array_equal(encoder.encode_text([one]), encoder.encode_text([other]))


# --- specs ---


def test_a_relative_folder_is_remembered_absolute(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder.parent)
    assert load_encoder("encoder", "cpu").spec == str(folder)


@pytest.mark.parametrize("name", ["weights.safetensors", "weights.pt"])
def test_a_checkpoint_of_a_named_model_loads(
    registered: str, encoder_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    weights = load_file(encoder_folder / WEIGHTS_FILE)
    if name.endswith(".pt"):
        torch.save({"state_dict": weights}, tmp_path / name)
    else:
        save_file(weights, tmp_path / name)
    monkeypatch.chdir(tmp_path)
    found = load_encoder(f"open_clip:{registered}/{name}", "cpu")
    assert found.spec == f"open_clip:{registered}/{tmp_path / name}"
    again = load_encoder(found.spec, "cpu")
    assert again.fingerprint == found.fingerprint
    assert_same_space(found, load_encoder(str(encoder_folder), "cpu"))


def test_a_folder_may_hold_a_pytorch_file_instead(folder: Path, encoder: Encoder) -> None:
    torch.save(load_file(folder / WEIGHTS_FILE), folder / "open_clip_pytorch_model.bin")
    (folder / WEIGHTS_FILE).unlink()
    assert load_encoder(str(folder), "cpu").fingerprint == encoder.fingerprint


# --- fingerprints ---


def test_a_fingerprint_is_the_same_at_every_load_and_place(encoder: Encoder, folder: Path) -> None:
    assert load_encoder(str(folder), "cpu").fingerprint == encoder.fingerprint


def _change(section: str, **values: Any) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        config = json.loads((folder / CONFIG_FILE).read_text())
        part = config["preprocess_cfg"] if section == "preprocess_cfg" else config["model_cfg"]
        if section in part:
            part = part[section]
        part.update(values)
        (folder / CONFIG_FILE).write_text(json.dumps(config))

    return change


def _nudge(name: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        weights = load_file(folder / WEIGHTS_FILE)
        weights[name].view(-1)[0] += 1e-3
        save_file(weights, folder / WEIGHTS_FILE)

    return change


CHANGES = {
    **{name: _nudge(name) for name in ("visual.conv1.weight", "text_projection", "ln_final.bias", "logit_scale")},
    "mean": _change("preprocess_cfg", mean=[0.5, 0.5, 0.5]),
    "resize": _change("preprocess_cfg", resize_mode="shortest"),
    "interpolation": _change("preprocess_cfg", interpolation="bilinear"),
    "context length": _change("text_cfg", context_length=12),
    "heads": _change("text_cfg", heads=4),
    "activation": _change("model_cfg", quick_gelu=True),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_a_fingerprint_changes_with_whatever_changes_embeddings(
    encoder: Encoder, folder: Path, change: Callable[[Path], None]
) -> None:
    change(folder)
    assert load_encoder(str(folder), "cpu").fingerprint != encoder.fingerprint


# --- what cannot be had ---


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ("/nowhere/at/all", "name a folder with open_clip_config.json"),
        ("", "name a folder with open_clip_config.json"),
        ("~no-such-user/encoder", "no encoder at '~no-such-user/encoder': name a folder"),
        (f"open_clip:{NAME}/~no-such-user/x.pt", "neither a checkpoint file"),
        ("open_clip:", "open_clip has no model ''"),
        ("open_clip:ViT-Z-99/openai", "open_clip has no model 'ViT-Z-99'"),
        ("open_clip:ViT-B-32", "'' is neither a checkpoint file nor pretrained weights of ViT-B-32.*laion2b_s34b_b79k"),
        ("open_clip:ViT-B-32/nonsense", "'nonsense' is neither.*laion2b_s34b_b79k"),
        (f"open_clip:{NAME}//nowhere/weights.pt", "neither a checkpoint file.*none"),
    ],
)
@pytest.mark.usefixtures("registered")
def test_a_spec_that_names_nothing_says_what_may_be_named(spec: str, says: str) -> None:
    with pytest.raises(EncoderUnavailable, match=says):
        load_encoder(spec, "cpu")


def test_weights_that_are_not_here_say_how_to_get_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(EncoderUnavailable) as error:
        load_encoder("open_clip:ViT-B-32/laion2b_s34b_b79k", "cpu")
    for part in ("cannot be downloaded", "open_clip:ViT-B-32/path/to/checkpoint", "rebus train --encoder"):
        assert part in str(error.value)


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1000])


BROKEN: dict[str, Callable[[Path], object]] = {
    "weights cut": lambda folder: _cut(folder / WEIGHTS_FILE),
    "weights empty": lambda folder: (folder / WEIGHTS_FILE).write_bytes(b""),
    "weights missing": lambda folder: (folder / WEIGHTS_FILE).unlink(),
    "weights of another model": _change("vision_cfg", width=96),
    "config cut": lambda folder: (folder / CONFIG_FILE).write_text('{"model_cfg"'),
    "config of something else": lambda folder: (folder / CONFIG_FILE).write_text("{}"),
    "config a list": lambda folder: (folder / CONFIG_FILE).write_text("[]"),
}


@pytest.mark.parametrize("damage", BROKEN.values(), ids=BROKEN.keys())
def test_a_broken_folder_is_unavailable_and_named(folder: Path, damage: Callable[[Path], object]) -> None:
    damage(folder)
    with pytest.raises(EncoderUnavailable, match=f"{folder} cannot be loaded: "):
        load_encoder(str(folder), "cpu")


@pytest.mark.parametrize("lines", [None, 100])
def test_a_tokenizer_that_is_not_the_one_it_was_trained_with_is_told(tmp_path: Path, lines: int | None) -> None:
    folder = tmp_path / "encoder"
    shutil.copytree(STARTER_FOLDER, folder, ignore=shutil.ignore_patterns("manifest.json", MERGES_FILE))
    if lines is not None:
        write_merges(folder / MERGES_FILE, lines)
    known = "49,408" if lines is None else "614"
    with pytest.raises(EncoderUnavailable, match=rf"reads 8,514 tokens.* knows {known}: put the {MERGES_FILE}"):
        load_encoder(str(folder), "cpu")


@pytest.mark.parametrize("name", ["weights.pt", "weights.safetensors"])
def test_a_checkpoint_cut_short_is_unavailable(
    registered: str, encoder_folder: Path, tmp_path: Path, name: str
) -> None:
    weights = load_file(encoder_folder / WEIGHTS_FILE)
    save = torch.save if name.endswith(".pt") else save_file
    save(weights, tmp_path / name)
    _cut(tmp_path / name)
    with pytest.raises(EncoderUnavailable, match="cannot be loaded"):
        load_encoder(f"open_clip:{registered}/{tmp_path / name}", "cpu")


class Hostile:
    """Unpickling it writes a file."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return Path.write_text, (self.marker, "executed")


@pytest.mark.parametrize("how", ["torch", "pickle"])
def test_a_checkpoint_that_would_run_code_is_refused_unrun(registered: str, tmp_path: Path, how: str) -> None:
    content, path = {"state_dict": Hostile(tmp_path / "marker")}, tmp_path / "weights.pt"
    if how == "torch":
        torch.save(content, path)
    else:
        path.write_bytes(pickle.dumps(content))
    with pytest.raises(EncoderUnavailable, match="cannot be loaded"):
        load_encoder(f"open_clip:{registered}/{path}", "cpu")
    assert not (tmp_path / "marker").exists()
    pickle.loads(pickle.dumps(content))
    assert (tmp_path / "marker").exists()  # it would have run


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU is here")
def test_a_gpu_that_is_not_here_is_a_config_error(encoder_folder: Path) -> None:
    with pytest.raises(ConfigError, match="encoder.device"):
        load_encoder(str(encoder_folder), "cuda")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_gpu_gives_nearly_the_same_embeddings(encoder: Encoder) -> None:
    other = load_encoder(encoder.spec, "cuda")
    assert other.fingerprint == encoder.fingerprint
    cosines = (other.encode_images(pictures()) * encoder.encode_images(pictures())).sum(1)
    assert cosines.min() > 0.999


def test_an_encoder_is_loaded_without_the_compiler_which_is_whole_for_those_who_ask(encoder: Encoder) -> None:
    """In another process, where its fingerprint is the same."""
    code = (
        "import sys; from engine.encoders import load_encoder;"
        "print(load_encoder(sys.argv[1], 'cpu').fingerprint, 'sympy' in sys.modules, 'torch._dynamo' in sys.modules);"
        "import torch, torchvision; boxes = torch.tensor([[0.0, 0.0, 0.0, 4.0, 4.0]]);"
        "print(tuple(torchvision.ops.roi_align(torch.ones(1, 1, 8, 8), boxes, 2).shape));"
        "print(torch._dynamo.disable(abs)(-1))"
    )
    run = subprocess.run([sys.executable, "-c", code, encoder.spec], capture_output=True, text=True)
    assert run.stdout.split("\n")[:3] == [f"{encoder.fingerprint} False False", "(1, 1, 2, 2)", "1"], run.stderr


def test_what_rebus_warns_of_is_heard_beside_a_loaded_encoder(
    encoder_folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    load_encoder(str(encoder_folder), "cpu")
    logging.getLogger().warning("a step of open_clip")
    logging.getLogger("engine.live").warning("a version is passed over")
    assert "passed over" in caplog.text and "a step" not in caplog.text
