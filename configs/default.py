"""Every field of an experiment with its meaning; experiments start from here and change a few.

Not an experiment by itself. Any field can be given on the command line:
`--config.train.learning_rate=3e-4`, `--config.model.unet.block_out_channels=32,64,96`.
"""

from collections.abc import Mapping, Sequence

from ml_collections import ConfigDict
from ml_collections.config_dict import create


def get_config() -> ConfigDict:
    """Return the paper's setting for segmentation on tiles of 256 pixels."""
    return create(
        task="ss",  # ss: image -> map; cd: pre, post -> change map; denoise: pretraining
        init_from="",  # run, diffusers folder, .pth or hf:OWNER/REPO/FOLDER; "" = random values
        init_parts="backbone",  # what is read from it: backbone, or all (the projections too)
        init_input="",  # first convolution of another number of bands: inflate, average; "" = error
        tasks=create(),  # sections of several tasks, see `multitask`; empty = the one task above
        seed=0,  # of the initial values, the order of the data, timesteps, augmentation
        data=create(
            dataset="",  # name of a dataset that data_prep wrote
            data_dir="data",  # the folder that holds it
            tile_size=256,  # side of the records in pixels
            num_bands=3,  # of one image
            dtype="uint8",  # of the records: uint8 or uint16
            scaling="value_range",  # as below; manifest: 1st and 99th percentile of each band
            value_range=(0.0, 255.0),  # sensor values that become -1 and 1, of all bands
            band_ranges=(),  # the same by band, ((low, high), ...); () = as `scaling` says
            classes=("background", "building"),  # class k is pixel value k; 255 is ignored
            num_threads=2,  # threads that decode records, in each process
            prefetch_size=32,  # records decoded ahead, in each process
        ),
        augment=create(
            flips_and_turns=True,  # the eight symmetries of the square
            crop_size=0,  # side in pixels of random crops; 0 = whole tiles
            brightness=0.0,  # largest shift, in units of the scaled range [-1, 1]
            contrast=0.0,  # largest relative change
            exchange_dates=False,  # cd: swap pre and post of half of the pairs
        ),
        noise=create(
            kind="structured",  # as below; clean: input and t left out; clean_timestep: t kept
            schedule="linear",  # a name in noise2map_jax/method/schedules.py
            num_train_timesteps=1000,  # T
            beta_start=1e-4,  # of linear, scaled_linear, sigmoid, zero_terminal_snr
            beta_end=0.02,  # of the same
            max_beta=0.999,  # of squaredcos_cap_v2
            sigma_min=0.002,  # of karras
            sigma_max=80.0,  # of karras
            rho=7.0,  # of karras
            mix="default",  # image, swap, gaussian; default = the paper's for the task
            prediction_type="epsilon",  # of denoise: epsilon, sample (clean image), v_prediction
            timestep_range=(0, 0),  # t of training from [first, last); (0, 0) = [0, T)
            min_contrast=0.0,  # least |signal - noise| / (signal + noise) of t of training
            contrast_power=0.0,  # t of training as often as that to this power; 0.0 = uniform
            inference_timesteps=(-1,),  # t of prediction, the mean over several; -1 = T - 1
            use_timestep=True,  # whether t reaches the network
        ),
        model=create(
            sample_size=256,  # the backbone's tile side; others are resampled to it; 0 = never
            dtype="float32",  # of convolutions and activations: float32 or bfloat16
            # Of products of float32 numbers, in convolutions too, forward and backward:
            #            TPU                       GPU                  CPU
            #   default  of bfloat16               TF32, where it has   float32
            #   high     three of bfloat16         TF32, where it has   float32
            #   highest  six of bfloat16: float32  float32              float32
            # `default` is the fastest; `highest` is for comparing with other programs by digits.
            matmul_precision="default",
            unet=create(
                in_channels=3,  # of the backbone, after the task's first projection
                out_channels=3,  # of the backbone, before the task's last projection
                block_out_channels=(128, 128, 256, 256, 512, 512),  # from full resolution down
                layers_per_block=2,  # residual blocks of a down block; an up block has one more
                attention_levels=(4,),  # down blocks with attention; the up blocks mirror them
                attention_head_dim=0,  # channels of a head; 0 = one head of all channels
                norm_num_groups=32,  # of every group normalisation
                norm_eps=1e-6,  # added to the variance there
                downsample_padding=0,  # 0: pad right and bottom by one; 1: all sides
                flip_sin_to_cos=False,  # order within the timestep embedding
                freq_shift=1.0,  # 1.0: the lowest frequency is 1/10000 exactly
            ),
        ),
        mesh=create(
            fsdp=1,  # devices that share one copy of parameters and optimiser; 1 = each its own
        ),
        train=create(
            batch_size=8,  # rows of a global batch, over all devices
            num_microbatches=1,  # the gradient is accumulated over this many parts of a batch
            # What is computed again for the gradient, to need less memory: none; convolutions (all
            # but what they give), blocks (all but what goes into a residual block or attention).
            remat="none",
            num_epochs=200.0,  # passes over the training split
            num_steps=0,  # length in steps; 0 = from num_epochs
            optimizer="adam",  # adam or adamw
            learning_rate=1e-4,  # the peak
            warmup_steps=0,  # steps of linear rise
            cosine=False,  # fall to 0 along half a cosine; else constant
            weight_decay=0.0,  # adamw only, of kernels
            backbone_learning_rate_factor=1.0,  # for the backbone alone; 0.0 freezes it
            max_gradient_norm=0.0,  # clip the gradient to this norm; 0.0 = never
            # Updates in a row that are left out where the gradient is not finite; then the run
            # stops.
            max_skipped_updates=0,
            skip_above_gradient_norm=0.0,  # with it: also where its norm is above; 0.0 = never
            ema_decay=0.0,  # of averaged weights, used for evaluation; 0.0 = none kept
            class_weights=(1.0, 5.0),  # of each class in the loss
            class_weights_from="config",  # config: those above; data: counted, balanced
            log_every_steps=50,  # steps between two losses in metrics.jsonl
            eval_every_steps=0,  # evaluation on the validation split; 0 = once an epoch
            checkpoint_every_steps=0,  # 0 = with every evaluation
            write_report=True,  # at the end of training: pictures and a page in report/
        ),
        eval=create(
            split="test",  # what --mode=eval evaluates; a study has its own, see `study`
            batch_size=8,  # rows of a global batch
            # Maps by a process with Gaussian noise are the mean over so many draws of it; memory
            # grows with their number.
            num_noise_draws=4,
            num_pictures=8,  # rows of report/predictions.png
            group_regex="",  # scores also by the first group of this pattern in the record id
            num_timestep_bands=10,  # denoise: bands of t, over all of [0, T), told apart
            num_samples=0,  # denoise: images sampled at every evaluation; 0 = none
            num_sampling_steps=50,  # of DDIM
        ),
    )


def multitask(config: ConfigDict, tasks: Mapping[str, ConfigDict]) -> ConfigDict:
    """Train several tasks over one backbone.

    Args:
        config: what is common to them: network, training, seed.
        tasks: by name, experiments from which data, augmentation, noise and class weights of each
            task are taken.

    Returns:
        The experiment, with a section for each task: --config.tasks.cd.weight=0.5,
        --config.tasks.cd.data.dataset=mine. What the sections hold is nowhere else.
    """
    config = config.copy_and_resolve_references()
    for name, own in tasks.items():
        config.tasks[name] = create(
            weight=1.0,  # of this task's loss; 0.0 leaves the task and its head out
            data=own.data,
            augment=own.augment,
            noise=own.noise,
            train=create(
                class_weights=own.train.class_weights,
                class_weights_from=own.train.class_weights_from,
            ),
            eval=create(group_regex=own.eval.group_regex),
        )
    for field in ("task", "data", "augment", "noise"):
        del config[field]
    del config.train.class_weights, config.train.class_weights_from, config.eval.group_regex
    return config


def study(config: ConfigDict, variants: Sequence[str], reference: str = "paper") -> ConfigDict:
    """Compare variants of an experiment, for `--mode=ablate` and `--mode=final`.

    Variants are compared on validation, whatever `eval.split` is; `--mode=final` opens test.

    Args:
        config: the experiment.
        variants: `NAME` of a control (paper, clean, clean_timestep, gaussian, self, swap), which
            sets the whole noise process, or `NAME: FIELD=VALUE FIELD=VALUE ...`.
        reference: the variant that others are compared with.

    Returns:
        The experiment, with a section `study`.
    """
    config = config.copy_and_resolve_references()
    config.study = create(
        variants=tuple(variants),
        grid=(),  # more variants, all combinations: ("noise.beta_end=0.01|0.02", ...)
        seeds=(0, 1, 2),  # each variant is trained with each
        reference=reference,
        execution="auto",  # dispatch, vmap, devices; auto = the fastest, measured at start
        max_members=8,  # most networks that a device trains in one call
        num_timesteps=11,  # of the sweep over inference timesteps on validation; 0 = none
        num_scenes=6,  # places of which the page shows what is predicted of a tile
    )
    return config
