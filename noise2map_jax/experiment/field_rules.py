"""Which fields of a run's config may be others later, when, and why: one table."""

import enum


class May(enum.Flag):
    """When a field may have another value than the run was started with."""

    GO_ON = enum.auto()  # when the run is gone on with
    GO_ON_IN_STUDY = enum.auto()  # when it is a member of a study, and is gone on with
    BE_OF_HOST = enum.auto()  # on each host of the run, for itself
    BE_EVALUATED = enum.auto()  # when it is evaluated: with the value that is given
    BE_TRAINED = enum.auto()  # when it is evaluated: it bears on training alone, whatever is given


_ANYTIME = May.GO_ON | May.GO_ON_IN_STUDY
_READING = _ANYTIME | May.BE_OF_HOST | May.BE_EVALUATED
# A name that ends in a dot is a whole section. Nothing else may change: not what is learned (nor
# init_from, though it is not read again: the run would be described wrongly), not what the best is
# chosen by. Members of a study are compared: they have one length, and choose among the same steps.
RULES: dict[str, tuple[May, str]] = {
    "train.num_steps": (May.GO_ON, "more of the same training"),
    "train.num_epochs": (May.GO_ON, "more of the same training"),
    "train.eval_every_steps": (May.GO_ON, "the best is chosen among other steps"),
    "train.log_every_steps": (_ANYTIME, "what is told of it"),
    "train.write_report": (_ANYTIME, "what is told of it"),
    "train.checkpoint_every_steps": (_ANYTIME, "how much is lost when it is killed"),
    "train.remat": (_ANYTIME, "what is computed twice"),
    "train.num_microbatches": (_ANYTIME, "the parts that sums are computed in"),
    "eval.split": (_ANYTIME, "what is asked of the network later"),
    "eval.batch_size": (_ANYTIME, "how many records are read at a time"),
    "eval.num_pictures": (_ANYTIME, "what is shown"),
    "eval.group_regex": (_ANYTIME, "what is told of the scores"),
    "eval.num_samples": (_ANYTIME, "what is shown"),
    "eval.num_sampling_steps": (_ANYTIME, "what is shown"),
    "data.data_dir": (_READING, "where the records lie; their digest tells that they are the same"),
    "data.num_threads": (_READING, "how fast records are read"),
    "data.prefetch_size": (_READING, "how fast records are read"),
    "mesh.": (_ANYTIME | May.BE_EVALUATED, "where sums are computed"),
    "eval.": (May.BE_EVALUATED, "what evaluation is about"),
    "data.dataset": (May.BE_EVALUATED, "other data; bands and classes are the run's"),
    "data.tile_size": (May.BE_EVALUATED, "other data; bands and classes are the run's"),
    "train.": (May.BE_TRAINED, "how it was trained"),
    "augment.": (May.BE_TRAINED, "how it was trained"),
    "seed": (May.BE_TRAINED, "how it was trained"),
    "init_from": (May.BE_TRAINED, "what it began with"),
    "init_parts": (May.BE_TRAINED, "what it began with"),
    "init_input": (May.BE_TRAINED, "what it began with"),
    "weight": (May.BE_TRAINED, "of a task beside others"),
}
OTHER_DATA = ("data.dataset", "data.tile_size")  # bears on scores, so it is told
TIMESTEPS = "noise.inference_timesteps"  # may be evaluated with others, where given by itself


def names(may: May) -> tuple[str, ...]:
    """Return the fields and sections that may."""
    return tuple(name for name, (when, _) in RULES.items() if may in when)
