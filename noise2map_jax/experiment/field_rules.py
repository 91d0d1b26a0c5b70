"""Rules for a run's config: which fields may change later, when, and why, in one table."""

import enum


class May(enum.Flag):
    """Occasions on which a field may differ from its value at the start of the run."""

    GO_ON = enum.auto()  # training continues
    GO_ON_IN_STUDY = enum.auto()  # training continues, and the run is a member of a study
    BE_OF_HOST = enum.auto()  # always: each host of the run has its own value
    BE_EVALUATED = enum.auto()  # evaluation: the new value is used
    BE_TRAINED = enum.auto()  # evaluation: the new value is ignored, since it is about training


_ANYTIME = May.GO_ON | May.GO_ON_IN_STUDY
_READING = _ANYTIME | May.BE_OF_HOST | May.BE_EVALUATED
# A name that ends in a dot is a whole section. No other field may change: neither what is learned,
# nor the rule that chooses the best checkpoint, nor init_from (it is not read again, but the config
# would describe the run wrongly). Members of a study are compared, so they keep the same length and
# choose among the same steps.
RULES: dict[str, tuple[May, str]] = {
    "train.num_steps": (May.GO_ON, "continues the same training"),
    "train.num_epochs": (May.GO_ON, "continues the same training"),
    "train.warmup_steps": (May.GO_ON, "is shorter in a run that was first asked to be short"),
    "train.eval_every_steps": (May.GO_ON, "changes the steps that the best is chosen among"),
    "train.log_every_steps": (_ANYTIME, "changes only what is logged"),
    "train.write_report": (_ANYTIME, "changes only what is written about the run"),
    "train.profile_steps": (_ANYTIME, "changes only what is recorded of the run"),
    "train.checkpoint_every_steps": (_ANYTIME, "changes how much a killed run loses"),
    "train.remat": (_ANYTIME, "changes which activations are computed twice"),
    "train.num_microbatches": (_ANYTIME, "changes the parts that sums are computed in"),
    "eval.split": (_ANYTIME, "is used after training"),
    "eval.batch_size": (_ANYTIME, "changes how many records are read at a time"),
    "eval.num_pictures": (_ANYTIME, "changes only what is shown"),
    "eval.group_regex": (_ANYTIME, "changes only how scores are reported"),
    "eval.map_tile_size": (_ANYTIME, "is used after training"),
    "eval.num_samples": (_ANYTIME, "changes only what is shown"),
    "eval.num_sampling_steps": (_ANYTIME, "changes only what is shown"),
    "data.data_dir": (_READING, "changes the place of the records; a digest proves them the same"),
    "data.num_threads": (_READING, "changes how fast records are read"),
    "data.prefetch_size": (_READING, "changes how fast records are read"),
    "mesh.": (_ANYTIME | May.BE_EVALUATED, "changes the devices that compute sums"),
    "eval.": (May.BE_EVALUATED, "describes the evaluation"),
    "data.dataset": (May.BE_EVALUATED, "names other data; bands and classes stay the run's"),
    "data.tile_size": (May.BE_EVALUATED, "names other data; bands and classes stay the run's"),
    "train.": (May.BE_TRAINED, "describes the training"),
    "augment.": (May.BE_TRAINED, "describes the training"),
    "seed": (May.BE_TRAINED, "describes the training"),
    "init_from": (May.BE_TRAINED, "describes the initial parameters"),
    "init_parts": (May.BE_TRAINED, "describes the initial parameters"),
    "init_input": (May.BE_TRAINED, "describes the initial parameters"),
    "weight": (May.BE_TRAINED, "weighs the loss of a task in training"),
}
OTHER_DATA = ("data.dataset", "data.tile_size")  # affect scores, so evaluation reports them
TIMESTEPS = "noise.inference_timesteps"  # evaluation takes other ones if given as a single field


def names(may: May) -> tuple[str, ...]:
    """Return the fields and sections that may change on an occasion."""
    return tuple(name for name, (when, _) in RULES.items() if may in when)
