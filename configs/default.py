"""Every field of an experiment with its meaning; experiments start from here and change a few.

This file is no experiment by itself. Any field can be given on the command line:
`--config.train.learning_rate=3e-4`, `--config.model.unet.block_out_channels=32,64,96`.
"""

from collections.abc import Mapping, Sequence

from ml_collections import ConfigDict
from ml_collections.config_dict import create


def get_config() -> ConfigDict:
    """Return the paper's setting for segmentation on tiles of 256 pixels."""
    return create(
        # ss: image -> building map; cd: images before and after -> change map; denoise: pretraining
        # without labels.
        task="ss",
        # Weights to start from: a run's folder, an export, a diffusers folder, a .pth or
        # .safetensors file, hf:OWNER/REPO/FOLDER or shipped:NAME; empty = random values.
        init_from="",
        # What is read from init_from: backbone (of another network than noise2map all but the last
        # layer, or the encoder), or all (the task's projections too).
        init_parts="backbone",
        # How the first convolution is fitted where init_from has another number of bands: inflate
        # or average; empty = another number is an error.
        init_input="",
        tasks=create(),  # sections of several tasks, see `multitask`; empty = one task, `task`
        seed=0,  # of the random initial values, the order of the data, timesteps and augmentation
        data=create(
            dataset="",  # name of a dataset that data_prep wrote
            data_dir="data",  # folder that holds the datasets
            tile_size=256,  # side of the records in pixels
            num_bands=3,  # bands of one image
            dtype="uint8",  # type of the images in the records: uint8 or uint16
            # Bands of the image files that became records: --bands of data_prep, from the dataset's
            # manifest; maps read the same. Empty = all but alpha.
            bands=(),
            alpha="auto",  # what an alpha band was: --alpha of data_prep, likewise
            nodata=-1,  # what --nodata of data_prep was, likewise; -1 = not given
            # Which sensor values become -1 and 1: value_range = those of data.value_range;
            # manifest = the 1st and 99th percentile of each band, from the dataset's manifest.
            scaling="value_range",
            value_range=(0.0, 255.0),  # sensor values that become -1 and 1, the same for all bands
            # Sensor values that become -1 and 1 by band, ((low, high), ...); they go before
            # data.scaling. Empty = as data.scaling says.
            band_ranges=(),
            # Names of the classes: class k is pixel value k of the mask; 255 is ignored.
            classes=("background", "building"),
            num_threads=2,  # threads that decode records, in each process
            prefetch_size=32,  # records decoded ahead, in each process
        ),
        augment=create(
            flips_and_turns=True,  # draw one of the eight symmetries of the square for each tile
            crop_size=0,  # side in pixels of random crops; 0 = whole tiles
            brightness=0.0,  # largest shift, in units of the scaled range [-1, 1]; 0.0 = none
            contrast=0.0,  # largest relative change of contrast, below 1; 0.0 = none
            exchange_dates=False,  # task cd: swap pre and post of half of the pairs
            # Least and most scale of crops: 2.0 shows a house twice as large; (1.0, 1.0) = as is.
            zoom=(1.0, 1.0),
            colour=0.0,  # largest shift of each band by itself, in units of [-1, 1]; 0.0 = none
            blur=0.0,  # largest standard deviation of a Gaussian blur in pixels; 0.0 = none
            # Share of tiles into which the foreground of another is pasted; of pairs into post,
            # which is right only where every change is a new building.
            paste=0.0,
            # Task cd: share of the pairs that show the later date twice: buildings that were there
            # before are no change. Vary the light as well, or the dates are the same numbers.
            unchanged=0.0,
        ),
        noise=create(
            # structured: the noise that this section describes; clean: the network sees the clean
            # input and no t; clean_timestep: the clean input and t.
            kind="structured",
            schedule="linear",  # a key of SCHEDULES in noise2map_jax/method/schedules.py
            num_train_timesteps=1000,  # number of timesteps T; t runs from 0 to T - 1
            # Least beta of the schedules linear, scaled_linear, sigmoid and zero_terminal_snr.
            beta_start=1e-4,
            # Greatest beta of the schedules linear, scaled_linear, sigmoid and zero_terminal_snr.
            beta_end=0.02,
            max_beta=0.999,  # largest beta of the schedule squaredcos_cap_v2
            sigma_min=0.002,  # least sigma of the schedule karras, in units of the scaled image
            sigma_max=80.0,  # greatest sigma of the schedule karras, in units of the scaled image
            rho=7.0,  # exponent of the schedule karras: the larger, the more steps at low noise
            # What the noise is: image (the input itself), swap (the pair with its dates
            # exchanged), gaussian; default = the paper's for the task.
            mix="default",
            # Task denoise: what the network predicts: epsilon (the noise), sample (the clean image)
            # or v_prediction.
            prediction_type="epsilon",
            timestep_range=(0, 0),  # training draws t from [first, last); (0, 0) = [0, T)
            # Training leaves out t whose contrast |signal - noise| / (signal + noise) is below
            # this, where signal and noise are the factors of the input and of its noise at t;
            # 0.0 = leaves out none.
            min_contrast=0.0,
            # Training draws t in proportion to this power of its contrast, see
            # noise.min_contrast; 0.0 = uniformly.
            contrast_power=0.0,
            # t of prediction; of several, the predictions are averaged. Negative values count from
            # the end: -1 = T - 1.
            inference_timesteps=(-1,),
            use_timestep=True,  # whether the network is given t
        ),
        model=create(
            # noise2map, or a network to compare it with: a key of RIVALS in
            # noise2map_jax/networks/rivals.py. A rival has none of noise2map's `sample_size`,
            # `patch_size` and `unet`, sees no t, and has the fields `encoder` to `noised_input`.
            name="noise2map",
            # resnet18, mit_b0, vit_small_patch16_224, ...; empty = the usual one of the network
            encoder="",
            # Attributes of a rival, as JSON: {"decoder_channels":[128,64,32,16,8]}, those of its
            # encoder under "encoder"; empty = as published.
            options="",
            # What a rival's input is scaled to: plain = [-1, 1]; imagenet = the mean and standard
            # deviation of ImageNet, which weights that were trained there expect.
            scaling="plain",
            # Whether a rival gets the noised input, as noise2map does; False = the clean one.
            noised_input=False,
            # Side in pixels of what the backbone sees: tiles of another size are resampled to it
            # and the map back; 0 = tiles are never resampled.
            sample_size=256,
            # Side p in pixels of the patches that the backbone sees as one pixel each: with 2, its
            # convolutions cost a quarter. unet.in_channels should then be p * p * bands * dates or
            # more, and out_channels p * p * classes. `sample_size` must be 0, or the tiles' side.
            patch_size=1,
            dtype="float32",  # type of convolutions and activations: float32 or bfloat16
            # Precision of products of float32 numbers, in convolutions too, forward and backward:
            #            TPU                       GPU                  CPU
            #   default  of bfloat16               TF32, where it has   float32
            #   high     three of bfloat16         TF32, where it has   float32
            #   highest  six of bfloat16: float32  float32              float32
            # `default` is the fastest; `highest` is for comparing with other programs by digits.
            matmul_precision="default",
            unet=create(
                # Input channels of the backbone: what the task's first projection gives.
                in_channels=3,
                # Output channels of the backbone: what the task's last projection takes.
                out_channels=3,
                # Channels of the levels, from full resolution down; each level halves the side.
                block_out_channels=(128, 128, 256, 256, 512, 512),
                layers_per_block=2,  # residual blocks of a down block; an up block has one more
                attention_levels=(4,),  # down blocks with attention, from 0; up blocks mirror them
                attention_head_dim=0,  # channels of an attention head; 0 = one head of all channels
                norm_num_groups=32,  # groups of every group normalisation
                norm_eps=1e-6,  # added to the variance in every group normalisation
                # Padding before a convolution that halves the side: 0 = one pixel on the right and
                # at the bottom; 1 = one pixel on all sides.
                downsample_padding=0,
                flip_sin_to_cos=False,  # timestep embedding: cosines first instead of sines
                # Timestep embedding: 1.0 = the lowest frequency is 1/10000 exactly; 0.0 = the
                # frequencies stop one before it.
                freq_shift=1.0,
            ),
        ),
        mesh=create(
            # Number of devices that share one copy of the parameters and of the optimiser's state;
            # 1 = each device holds all of them.
            fsdp=1,
        ),
        train=create(
            batch_size=8,  # rows of a global batch, over all devices
            num_microbatches=1,  # parts of a batch whose gradients are accumulated to one update
            # What the backward pass computes again instead of keeping it in memory: none,
            # convolutions (all but what convolutions give), blocks (all but what goes into a
            # residual block or attention).
            remat="none",
            num_epochs=200.0,  # passes over the training split, where num_steps is 0
            num_steps=0,  # length of training in steps; 0 = as num_epochs says
            # Share of the training scenes that is read, drawn with the seed: what is learned from
            # fewer labels. A smaller share is part of a larger one.
            scene_share=1.0,
            # The share takes a scene of each place in turn; False = it is drawn from all scenes, so
            # most of it shows the places with most scenes.
            share_by_place=False,
            # Of a place with n tiles, tiles are read in proportion to n ** place_power: 1.0 = every
            # tile is read as often; 0.0 = every place is, however few tiles it has. Where places
            # are not known, each scene counts as one.
            place_power=1.0,
            optimizer="adam",  # adam or adamw
            learning_rate=1e-4,  # the peak, after warm-up
            # Steps in which the learning rate rises linearly; 0 = no warm-up. A run that is no
            # longer than this warms up for half of its steps, and says so.
            warmup_steps=0,
            cosine=False,  # the learning rate falls to 0 along half a cosine; False = constant
            weight_decay=0.0,  # weight decay of kernels, for optimizer=adamw only; 0.0 = none
            # The backbone's learning rate, as a multiple of learning_rate; 0.0 freezes it.
            backbone_learning_rate_factor=1.0,
            max_gradient_norm=0.0,  # the gradient is clipped to this norm; 0.0 = never
            # An update whose gradient is not finite is left out, up to so many in a row; one more
            # stops the run. 0 = the first one does.
            max_skipped_updates=0,
            # With max_skipped_updates: updates whose gradient has a norm above this are left out
            # as well; 0.0 = no limit.
            skip_above_gradient_norm=0.0,
            # Decay per step of the averaged weights, which evaluation uses; 0.0 = no average is
            # kept.
            ema_decay=0.0,
            # Share of the weights of init_from that is mixed into the trained ones, of which
            # 1 - share is left, wherever weights are validated and kept (Wortsman et al. 2022);
            # training itself goes on without it. Tensors that init_from lacks stay as trained.
            initial_share=0.0,
            # The loss is the sum of these: cross_entropy, focal (Lin et al. 2017) of pixels; dice,
            # lovasz (Berman et al. 2018) of images. Task denoise: the squared error, always.
            losses=("cross_entropy",),
            class_weights=(1.0, 5.0),  # weight of each class in the loss
            # Batch normalisation, which rivals have: False = training measures its statistics;
            # True = it keeps those that it begins with.
            frozen_statistics=False,
            # config: the weights are class_weights; data: computed from the pixels of each class in
            # the training split, so that all classes count the same.
            class_weights_from="config",
            log_every_steps=50,  # steps between two losses in metrics.jsonl
            # Steps [first, last + 1) are recorded with JAX's profiler, and where their time goes is
            # told; (0, 0) = none. Not for studies.
            profile_steps=(0, 0),
            eval_every_steps=0,  # steps between evaluations on validation; 0 = once an epoch
            # Evaluate on validation, and keep the best parameters; False = keep those of the last
            # step, for data without a split val.
            validate=True,
            checkpoint_every_steps=0,  # steps between checkpoints; 0 = with every evaluation
            write_report=True,  # write pictures and a page to report/ at the end of training
        ),
        eval=create(
            split="test",  # split that --mode=eval scores; a study has its own rule, see `study`
            batch_size=8,  # rows of a global batch, over all devices
            # With Gaussian noise: a map is the mean over so many draws of the noise; memory grows
            # with their number.
            num_noise_draws=4,
            # Probabilities are taken to the power 1 / temperature: above 1, they are less sure.
            # --mode=eval finds the best on validation, which maps take in place of this.
            temperature=1.0,
            # Side in pixels of the tiles that maps of scenes are made of; 0 = that of what the
            # network saw in training: the crops, or else the tiles of the dataset.
            map_tile_size=0,
            num_pictures=8,  # rows of report/predictions.png
            # Scores by group, too: tiles whose record ids have the same first group of this
            # regular expression are one group; empty = no groups.
            group_regex="",
            num_timestep_bands=10,  # task denoise: [0, T) in so many bands, each scored apart
            num_samples=0,  # task denoise: images sampled at every evaluation; 0 = none
            num_sampling_steps=50,  # task denoise: DDIM steps of a sample
        ),
    )


def multitask(config: ConfigDict, tasks: Mapping[str, ConfigDict]) -> ConfigDict:
    """Train several tasks over one backbone.

    Args:
        config: what the tasks share: network, training, seed.
        tasks: experiments by task; data, augmentation, noise and class weights of each task are
            taken from its experiment.

    Returns:
        The experiment, with a section for each task: --config.tasks.cd.weight=0.5,
        --config.tasks.cd.data.dataset=mine. Fields of these sections exist nowhere else in it.
    """
    config = config.copy_and_resolve_references()
    for name, own in tasks.items():
        config.tasks[name] = create(
            weight=1.0,  # weight of the task's loss; 0.0 leaves the task and its head out
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
        reference: the variant that the others are compared with.

    Returns:
        The experiment, with a section `study`.
    """
    config = config.copy_and_resolve_references()
    config.study = create(
        variants=tuple(variants),
        # Further variants, all combinations of the values given: ("noise.beta_end=0.01|0.02", ...);
        # empty = none.
        grid=(),
        seeds=(0, 1, 2),  # every variant is trained once with each seed
        # Values to choose among for each variant by itself, on validation, before variants are
        # compared: ("train.learning_rate=1e-3|3e-3|1e-2",); empty = none.
        tune=(),
        tune_seeds=(1000,),  # seeds of that choice; none of `seeds`
        reference=reference,
        execution="auto",  # dispatch, vmap or devices; auto = the fastest, measured at the start
        max_members=8,  # largest number of networks that a device trains in one call
        # Timesteps of prediction at which every variant is scored on validation; 0 = no such sweep.
        num_timesteps=11,
        # A field that is a number, such as train.num_steps or train.scene_share: the page draws F1
        # over its values, a line for variants that differ in it alone; empty = no such plot.
        over="",
        num_scenes=6,  # places on the page, with the predictions for one tile of each; 0 = none
        # Where variants differ in their network, its speed is measured so many times after
        # training; 0 = never.
        cost_repeats=5,
    )
    return config
