"""Rivals start from files with PyTorch's names, from runs and from exports."""

import functools
import json
import re

import jax
import numpy as np
import pytest
from finished_runs import finish, random_params
from golden_networks import Golden
from programs import ROOT
from safetensors.numpy import save_file
from thin_rivals import OPTIONS, RESNET, config_of

from noise2map_jax.errors import UserError
from noise2map_jax.experiment.components import trained_sizes
from noise2map_jax.experiment.experiment import create_experiment
from noise2map_jax.experiment.network_choice import create_model
from noise2map_jax.network.statistics import variables
from noise2map_jax.networks.torch_names import to_torch, torch_name
from noise2map_jax.weights.export import export
from noise2map_jax.weights.initial import flat
from noise2map_jax.weights.initialization import initialize

GOLDEN = {  # by the network, its folder of golden values
    "unet": "unet_resnet",
    "pspnet": "pspnet_resnet",
    "segformer": "segformer_mit",
    "dpt": "dpt_vit",
    "fc_ef": "fcef_resnet",
    "fc_siam_conc": "fcsiamconc_resnet",
    "fc_siam_diff_original": "fcsiamdiff_original",
    "bit": "bit",
    "changeformer": "changeformer",
    "changemamba": "changemamba",
    "rs3mamba": "rs3mamba",
}


@pytest.fixture
def start(thin_data):
    """Initialise a rival; returns what it starts from, and its random tensors by name."""

    def call(name, init_from, *, task="", fields=(), **options):
        config = config_of(name, thin_data, task, **options)
        config.init_from = str(init_from)
        config.update_from_flattened_dict(dict(fields))
        experiment = create_experiment(config)
        params = random_params(experiment.model, trained_sizes(config), seed=1)
        return initialize(experiment, params), flat(params)

    return call


@functools.cache
def resnet_file(*, blocks=(1, 2, 1, 1), bands=3, stages=4, seed=0):
    """Tensors of an encoder as torchvision names them, with its classifier."""
    rng = np.random.default_rng(seed)
    tensors = {}

    def add(conv, norm, *shape):
        tensors[f"{conv}.weight"] = rng.normal(size=shape).astype(np.float32)
        for leaf in ("weight", "bias", "running_mean", "running_var"):
            tensors[f"{norm}.{leaf}"] = rng.uniform(1, 2, shape[0]).astype(np.float32)
        tensors[f"{norm}.num_batches_tracked"] = np.int64(7)

    stem, *widths = RESNET["widths"]
    add("conv1", "bn1", stem, bands, 7, 7)
    before = stem
    for layer, (width, number) in enumerate(zip(widths, blocks, strict=True), start=1):
        for block in range(number if layer <= stages else 0):
            prefix = f"layer{layer}.{block}."
            add(f"{prefix}conv1", f"{prefix}bn1", width, before, 3, 3)
            add(f"{prefix}conv2", f"{prefix}bn2", width, width, 3, 3)
            if block == 0 and layer > 1:
                add(f"{prefix}downsample.0", f"{prefix}downsample.1", width, before, 1, 1)
            before = width
    tensors["fc.weight"] = np.zeros((10, before), np.float32)
    tensors["fc.bias"] = np.zeros(10, np.float32)
    return tensors


def saved(folder, tensors, name="a.safetensors"):
    save_file({key: np.ascontiguousarray(t) for key, t in tensors.items()}, folder / name)
    return folder / name


def same(actual, expected):
    assert actual.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_array_equal(actual[name], value, err_msg=name)


@pytest.mark.parametrize("name", GOLDEN)
def test_a_whole_network_with_published_names_is_read(name, start, tmp_path):
    golden = Golden(GOLDEN[name])
    path = saved(tmp_path, golden.tensors)
    initial, now = start(name, path, fields={"init_parts": "all"}.items())
    assert initial.drawn == ()
    assert initial.num_taken == len(now)
    taken = to_torch(variables(jax.device_get(initial.params)))
    same({k: golden.tensors[k] for k in taken}, taken)
    unused = {k for k in golden.tensors if not k.endswith("num_batches_tracked")} - taken.keys()
    assert set(initial.left_out) == unused
    tops = {"pspnet": "layer3 layer4", "dpt": "norm", "bit": ""}.get(name, "").split()
    assert {top for n in unused for top in tops if top in n.split(".")} == set(tops)


def test_it_computes_what_it_computed_there(start, tmp_path):
    golden = Golden("unet_resnet")
    initial, _ = start(
        "unet", saved(tmp_path, golden.tensors), fields={"init_parts": "all"}.items()
    )
    apply = jax.jit(
        functools.partial(create_model(config_of("unet")).apply, task="ss"),
        compiler_options={"xla_backend_optimization_level": 0},
    )
    y = apply(variables(initial.params), golden["x"], np.zeros(len(golden["x"]), np.int32))
    np.testing.assert_allclose(y, golden["y"], atol=1e-4)


def test_what_a_file_holds_twice_is_left_out(start, tmp_path):
    """RS3Mamba's authors have its ResNet under two names, and constants beside parameters."""
    tensors = dict(Golden("rs3mamba").tensors)
    twice = {
        name.removeprefix("backbone."): tensor
        for name, tensor in tensors.items()
        if name.startswith(("backbone.conv1", "backbone.bn1"))
    }
    layers = {
        re.sub(r"backbone\.layer(\d)", lambda m: f"layers.{int(m[1]) - 1}", name): tensor
        for name, tensor in tensors.items()
        if name.startswith("backbone.layer")
    }
    constants = {"Fuse.0.attn.relative_position_index": np.zeros((16, 16), np.int64)}
    extra = twice | layers | constants
    path = saved(tmp_path, tensors | extra)
    initial, now = start("rs3mamba", path, fields={"init_parts": "all"}.items())
    assert initial.num_taken == len(now)
    assert set(initial.left_out) == set(extra)
    with pytest.raises(UserError, match=r"left over: layers7\.weight"):
        start(
            "rs3mamba",
            saved(tmp_path, tensors | {"layers7.weight": np.zeros(3, np.float32)}),
            fields={"init_parts": "all"}.items(),
        )


@pytest.mark.parametrize(
    ("name", "layers"),
    [
        ("rs3mamba", ("backbone/conv1/kernel", "stem_0/kernel")),
        ("changemamba", ("encoder/patch_embed_0/kernel",)),
    ],
)
def test_first_layers_are_fitted_to_other_bands(name, layers, start, tmp_path):
    tensors = dict(Golden(name).tensors)
    for layer in layers:  # of four bands
        key = torch_name(("params", *layer.split("/")))
        tensors[key] = np.concatenate([tensors[key], tensors[key][:, :1]], axis=1)
    path, fields = saved(tmp_path, tensors), {"init_parts": "all"}
    with pytest.raises(UserError, match="init_input=inflate or average fits it"):
        start(name, path, fields=fields.items())
    initial, _ = start(name, path, fields=(fields | {"init_input": "inflate"}).items())
    assert set(initial.adapted) == set(layers)


ENCODERS = {  # by the network: the encoder's path, and stages of a ResNet-like file that it lacks
    "unet": ("encoder", ()),
    "deeplabv3": ("encoder", ()),
    "fc_siam_diff": ("encoder", ()),
    "pspnet": ("encoder", ("layer3", "layer4")),
    "bit": ("resnet", ("layer4",)),
}


@pytest.mark.parametrize("name", ENCODERS)
def test_an_encoder_in_a_file_is_read_with_its_statistics(name, start, tmp_path):
    path, unused = ENCODERS[name]
    tensors = resnet_file(blocks=(1, 2, 2, 1) if name == "bit" else (1, 2, 1, 1))
    initial, now = start(name, saved(tmp_path, tensors))
    params = jax.device_get(initial.params)
    encoder = {"params": params[path], "batch_stats": params["batch_stats"][path]}
    expected = {
        key: tensor
        for key, tensor in tensors.items()
        if not key.startswith(("fc.", *unused)) and not key.endswith("num_batches_tracked")
    }
    same(to_torch(encoder), expected)
    beginnings = (f"{path}/", f"batch_stats/{path}/")
    assert set(initial.drawn) == {key for key in now if not key.startswith(beginnings)}
    for key in initial.drawn:
        np.testing.assert_array_equal(flat(params)[key], now[key], err_msg=key)
    summary = initial.summary()
    assert f"{len(expected)} tensors from the file {tmp_path}" in summary
    assert "not used: " in summary
    for module in ("fc.weight", *unused):
        assert module in summary
    assert "\nwarning     model.scaling is plain, but weights that were trained on" in summary


def test_under_its_name_in_the_network_or_in_a_folder_it_is_the_same(start, tmp_path):
    tensors = resnet_file()
    digests = {
        start("unet", saved(tmp_path, tensors))[0].digest,
        start("unet", saved(tmp_path, {f"encoder.{k}": t for k, t in tensors.items()}))[0].digest,
        start("unet", saved(tmp_path, {f"module.{k}": t for k, t in tensors.items()}))[0].digest,
    }
    (tmp_path / "config.json").write_text('{"architecture": "resnet18"}')
    saved(tmp_path, tensors, "model.safetensors")
    initial, _ = start("unet", tmp_path, fields={"model.scaling": "imagenet"}.items())
    assert digests == {initial.digest}
    assert "warning" not in initial.summary()


def before_version_5(name):
    """The name of a tensor of transformers 5 as it was before."""
    for new, old in {
        "decode_head.linear_projections.": "decode_head.linear_c.",
        ".attention.sequence_reduction.sequence_reduction.": ".attention.self.sr.",
        ".attention.sequence_reduction.layer_norm.": ".attention.self.layer_norm.",
        ".attention.q_proj.": ".attention.self.query.",
        ".attention.k_proj.": ".attention.self.key.",
        ".attention.v_proj.": ".attention.self.value.",
        ".attention.o_proj.": ".attention.output.dense.",
        ".layernorm_before.": ".layer_norm_1.",
        ".layernorm_after.": ".layer_norm_2.",
        ".fc1.": ".dense1.",
        ".fc2.": ".dense2.",
    }.items():
        name = name.replace(new, old)
    parts = name.split(".")
    if parts[:2] == ["segformer", "stages"]:
        stage, kind, *rest = parts[2:]
        kind = {"blocks": "block"}.get(kind, kind)
        return ".".join(["segformer", "encoder", kind, stage, *rest])
    return name


@pytest.mark.parametrize("rename", [str, before_version_5])
def test_segformer_of_transformers_has_other_names(rename, start, tmp_path):
    golden = Golden("segformer_transformers")
    tensors = {rename(name): tensor for name, tensor in golden.tensors.items()}
    path = saved(tmp_path, tensors)
    whole, now = start(
        "segformer",
        path,
        fields={"init_parts": "all"}.items(),
        encoder=OPTIONS["segformer"]["encoder"] | {"epsilon": 1e-5},
    )
    assert whole.num_taken == len(now)
    kernel = golden.tensors["segformer.stages.1.blocks.1.mlp.fc1.weight"]
    taken = whole.params["encoder"]["block2_1"]["mlp"]["fc1"]["kernel"]
    np.testing.assert_array_equal(taken, kernel.T)
    # The encoder alone, with the classifier of images.
    encoder = {name: t for name, t in tensors.items() if name.startswith("segformer.")}
    path = saved(tmp_path, encoder | {"classifier.weight": np.zeros((10, 32), np.float32)})
    initial, _ = start("segformer", path)
    assert initial.left_out == ("classifier.weight",)
    assert {name.split("/")[0] for name in initial.drawn} == {
        *("batch_stats", "decoder", "segmentation_head_0")
    }


@pytest.mark.parametrize("how", ["inflate", "average"])
def test_the_first_kernel_is_fitted_to_other_bands_if_asked_for(how, start, tmp_path):
    tensors = resnet_file(bands=4)
    path = saved(tmp_path, tensors)
    initial, _ = start("unet", path, fields={"init_input": how}.items())
    assert initial.adapted == ("encoder/conv1/kernel",)
    assert "fitted to other channels: encoder/conv1/kernel" in initial.summary()
    kernel = tensors["conv1.weight"].transpose(2, 3, 1, 0)
    first = kernel[:, :, :3] if how == "inflate" else kernel.mean(2, keepdims=True)
    expected = np.broadcast_to(first * (4 / 3), (7, 7, 3, 8))
    np.testing.assert_allclose(initial.params["encoder"]["conv1"]["kernel"], expected, rtol=1e-6)
    with pytest.raises(
        UserError, match=r"conv1\.weight has 4 input channels, here there are 3; in"
    ):
        start("unet", path)


def test_a_pair_as_one_image_repeats_the_bands_of_an_image(start, tmp_path):
    tensors = resnet_file()
    initial, _ = start("fc_ef", saved(tmp_path, tensors), fields={"init_input": "inflate"}.items())
    kernel = tensors["conv1.weight"].transpose(2, 3, 1, 0) / 2
    taken = np.asarray(initial.params["encoder"]["conv1"]["kernel"])
    np.testing.assert_allclose(taken, np.concatenate([kernel, kernel], axis=2))


def test_bands_of_pairs_are_fitted_date_by_date(start, thin_data, tmp_path):
    config = config_of("fc_ef", thin_data)
    config.data.num_bands = 2
    _, trained = finish(tmp_path / "run", config)
    initial, _ = start("fc_ef", tmp_path / "run", fields={"init_input": "inflate"}.items())
    before = trained["encoder"]["conv1"]["kernel"]
    bands = [0, 1, 0, 2, 3, 2]  # of [pre, post] with two bands each
    taken = np.asarray(initial.params["encoder"]["conv1"]["kernel"])
    np.testing.assert_allclose(taken, before[:, :, bands] * (2 / 3), rtol=1e-6)


def test_a_denoiser_gives_all_but_the_head(start, tmp_path):
    _, trained = finish(tmp_path / "run", config_of("unet", task="denoise"))
    initial, now = start("unet", tmp_path / "run")
    assert initial.drawn == ("segmentation_head_0/bias", "segmentation_head_0/kernel")
    taken = flat(jax.device_get(initial.params))
    expected = {k: v for k, v in flat(trained).items() if k not in initial.drawn}
    same(taken, expected | {name: now[name] for name in initial.drawn})
    assert f"from the run {tmp_path / 'run'}, step 7" in initial.summary()


def test_a_denoiser_of_images_gives_its_decoder_to_a_network_for_pairs_as_images(start, tmp_path):
    _, trained = finish(tmp_path / "run", config_of("unet", task="denoise"))
    initial, now = start("fc_ef", tmp_path / "run", fields={"init_input": "inflate"}.items())
    assert initial.drawn == ("segmentation_head_0/bias", "segmentation_head_0/kernel")
    assert initial.adapted == ("encoder/conv1/kernel",)
    taken, known = flat(jax.device_get(initial.params)), flat(trained)
    for name in set(now) - {*initial.drawn, *initial.adapted}:
        np.testing.assert_array_equal(taken[name], known[name], err_msg=name)


def test_all_of_an_export_is_read(start, tmp_path):
    config = config_of("unet")
    config.model.scaling = "imagenet"
    _, trained = finish(tmp_path / "run", config)
    export(tmp_path / "run", tmp_path / "export")
    initial, _ = start("unet", tmp_path / "export", fields={"init_parts": "all"}.items())
    same(flat(jax.device_get(initial.params)), flat(trained))
    assert "warning     model.scaling was imagenet there and is plain here" in initial.summary()


@pytest.mark.parametrize(
    ("there", "here", "path"),
    [
        ("unet", "fc_siam_diff", "encoder"),
        ("unet", "deeplabv3", "encoder"),  # strides and dilation change no weights
        ("unet", "bit", "resnet"),
    ],
)
def test_another_network_gives_its_encoder(there, here, path, start, thin_data, tmp_path):
    encoder = RESNET | {"blocks": [1, 2, 2, 1]} if here == "bit" else RESNET
    _, trained = finish(tmp_path, config_of(there, thin_data, "denoise", encoder=encoder))
    initial, now = start(here, tmp_path)
    beginnings = (f"{path}/", f"batch_stats/{path}/")
    assert set(initial.drawn) == {name for name in now if not name.startswith(beginnings)}
    taken, known = flat(jax.device_get(initial.params)), flat(trained)
    for name in set(now) - set(initial.drawn):
        source = name.replace("resnet/", "encoder/")
        np.testing.assert_array_equal(taken[name], known[source], err_msg=name)
    assert "from the encoder of the run" in initial.summary()
    assert "a network with other layers (UNet, here " in initial.summary()


def without(tensors, name):
    return {key: tensor for key, tensor in tensors.items() if key != name}


FILES = {
    "deeper": ("unet", resnet_file(blocks=(1, 3, 1, 1))),
    "bottlenecks": ("unet", resnet_file() | {"layer4.0.bn3.weight": np.ones(96, np.float32)}),
    "short": ("unet", resnet_file(stages=3)),
    "missing": ("unet", without(resnet_file(), "layer2.1.bn2.running_var")),
    "left_over": ("unet", resnet_file() | {"se.weight": np.ones(3, np.float32)}),
    "shape": ("unet", resnet_file() | {"layer1.0.conv2.weight": np.ones((8, 8, 1, 1), np.float32)}),
    "kind": ("segformer", resnet_file()),
    "nothing": ("unet", {"a": np.ones(3, np.float32)}),
}


@pytest.mark.parametrize(
    ("file", "words"),
    [
        (
            "deeper",
            "has another encoder, 1, 3, 1, 1 blocks of 8, 12, 16, 24 channels; here it is "
            "1, 2, 1, 1 blocks of 8, 12, 16, 24 channels: choose another file, or set model",
        ),
        ("bottlenecks", "another encoder, 1, 2, 1, 1 blocks of 8, 12, 16, 96 channels; here it"),
        ("short", "another encoder, 1, 2, 1 blocks of 8, 12, 16 channels; here it is 1, 2, 1, 1"),
        ("missing", "tensors missing: layer2.1.bn2.running_var"),
        ("left_over", "tensors left over: se.weight"),
        ("shape", "of another shape: layer1.0.conv2.weight (1, 1, 8, 8) instead of (3, 3, 8, 8)"),
        ("kind", "another encoder, 1, 2, 1, 1 blocks of 8, 12, 16, 24 channels; here it is 1, 2"),
        ("nothing", "another encoder, no blocks of a ResNet, MiT or ViT; here it is 1, 2, 1, 1"),
    ],
)
def test_a_file_that_does_not_fit_is_one_line(file, words, start, tmp_path):
    name, tensors = FILES[file]
    with pytest.raises(UserError) as error:
        start(name, saved(tmp_path, tensors))
    assert words in str(error.value)
    assert "\n" not in str(error.value)


def test_published_encoders_are_named(start, tmp_path):
    """ResNet-50 into ResNet-18; only what names and norms say is looked at before."""
    widths, blocks = (256, 512, 1024, 2048), (3, 4, 6, 3)
    tensors = {
        f"layer{layer}.{block}.bn3.weight": np.ones(width, np.float32)
        for layer, (width, number) in enumerate(zip(widths, blocks, strict=True), start=1)
        for block in range(number)
    }
    fields = {"model.options": "", "model.encoder": "resnet18"}.items()
    words = (
        "encoder, resnet50: 3, 4, 6, 3 blocks of 256.* here it is resnet18: 2, 2, 2, 2 blocks of"
    )
    with pytest.raises(UserError, match=words):
        start("unet", saved(tmp_path, tensors), fields=fields)


@pytest.mark.parametrize(
    ("there", "here", "fields", "words"),
    [
        ("unet", "segformer", {}, "encoders are not of one kind: unet's is ResNet, segformer's is"),
        ("fc_siam_diff_original", "fc_siam_diff", {}, "fc_siam_diff_original's is one of its own,"),
        (
            "unet",
            "fc_siam_diff",
            {"init_parts": "all"},
            "gives fc_siam_diff an encoder alone: the enc",
        ),
        ("", "unet", {}, "is of noise2map; model.name is unet"),
    ],
)
def test_a_run_that_does_not_fit_is_one_line(there, here, fields, words, start, tmp_path):
    config = config_of(there or "unet")
    if not there:
        config.model.name, config.model.options = "noise2map", ""
    finish(tmp_path, config)
    with pytest.raises(UserError, match=words):
        start(here, tmp_path, fields=fields.items())


def test_heads_of_attention_show_in_no_shape(start, thin_data, tmp_path):
    encoder = OPTIONS["segformer"]["encoder"] | {"num_heads": [1, 2, 4, 8]}
    finish(tmp_path, config_of("segformer", thin_data, encoder=encoder))
    words = r"computes something else: num_heads is \(1, 2, 4, 8\), here \(1, 2, 5, 8\)"
    with pytest.raises(UserError, match=words):
        start("segformer", tmp_path)


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("nowhere", "nowhere is no file of weights, finished run or export, nor a folder with mod"),
        (ROOT / "tests" / "golden" / "church_thin", "is a folder of diffusers, a backbone of nois"),
    ],
)
def test_other_sources_are_refused(source, words, start):
    with pytest.raises(UserError, match=words):
        start("unet", source)


def test_noise2map_does_not_start_from_a_rival(start, tmp_path):
    finish(tmp_path, config_of("unet"))
    fields = {"model.name": "noise2map", "model.options": ""}.items()
    with pytest.raises(UserError, match="is of unet; noise2map starts from Noise2Map's b"):
        start("unet", tmp_path, fields=fields)


def test_training_starts_there(program, tmp_path):
    options = {"encoder": {"widths": [8] * 5, "blocks": [1] * 4}, "decoder_channels": [8] * 5}
    denoiser = config_of("unet", task="denoise")
    denoiser.model.options = json.dumps(options)
    finish(tmp_path / "denoiser", denoiser)
    started = program(
        "--config.model.name=unet",
        f"--config.model.options={denoiser.model.options}",
        "--config.train.num_steps=1",
        "--config.train.validate=False",
        f"--config.init_from={tmp_path / 'denoiser'}",
    )
    assert f"tensors from the run {tmp_path / 'denoiser'}, step 7 (SHA-256 " in started.stdout
    assert "random: segmentation_head_0/bias, segmentation_head_0/kernel" in started.stdout
