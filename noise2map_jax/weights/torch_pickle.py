"""Reader for the pickle inside a PyTorch file; it does not unpickle: nothing is imported or called.

A stack machine walks its opcodes. It knows dicts, lists, tuples, plain values and the calls that
torch writes for tensors. Any other function or class in a pickle raises an error that names it.
"""

import dataclasses
import pickletools
from collections.abc import Callable
from typing import Any

from noise2map_jax.errors import UserError

# A state dict takes about 150 bytes a tensor; one byte of a pickle can create a 64-byte object.
MAX_SIZE = 16 * 2**20


@dataclasses.dataclass(frozen=True)
class Global:
    """The name of a function or class, which is never looked up."""

    name: str


@dataclasses.dataclass(frozen=True)
class Storage:
    """Stored bytes that tensors are views of.

    Attributes:
        kind: name of the class that gives the type, such as `torch FloatStorage`.
        key: name of its entry in the archive.
        numel: number of elements according to the pickle.
    """

    kind: str
    key: str
    numel: int


@dataclasses.dataclass(frozen=True)
class Tensor:
    """A view of a storage, in elements; only the types have been checked."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


class _Mark:
    """Marks the start of a list of arguments on the stack."""


_MARK = _Mark()

ORDERED_DICT = "collections OrderedDict"
TENSOR = "torch._utils _rebuild_tensor_v2"
PARAMETER = "torch._utils _rebuild_parameter"
_TYPES = ("Float", "Half", "BFloat16", "Double", "Long", "Int", "Short", "Char", "Byte", "Bool")
STORAGES = frozenset(f"torch {name}Storage" for name in _TYPES)

# Opcodes that push the value that they carry.
_NUMBERS = ("BININT", "BININT1", "BININT2", "INT", "LONG", "LONG1", "LONG4", "BINFLOAT", "FLOAT")
_TEXTS = ("BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "UNICODE")
_VALUES = frozenset((*_NUMBERS, *_TEXTS))
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_EMPTY: dict[str, Callable[[], Any]] = {
    "EMPTY_DICT": dict,
    "EMPTY_LIST": list,
    "EMPTY_TUPLE": tuple,
}
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
_NOTHING = frozenset(("PROTO", "FRAME"))


def read_pickle(data: bytes, source: str) -> Any:
    """Read the object that a pickle describes.

    Args:
        data: the pickle.
        source: the origin of the pickle, for error messages.

    Returns:
        Dicts (keys are strings or whole numbers), lists, tuples, strings, numbers, None, and
        `Tensor`s.

    Raises:
        UserError: the pickle holds something else, which the message names, or it is damaged.
    """
    if len(data) > MAX_SIZE:
        raise UserError(
            f"{source}: its pickle has {len(data)} bytes, expected at most {MAX_SIZE}; "
            "save the state_dict alone"
        )
    machine = _Machine(source)
    try:
        for opcode, argument, _ in pickletools.genops(data):
            if opcode.name == "STOP":
                return machine.pop(object)
            machine.step(opcode.name, argument)
    # genops and the machine raise these errors for bytes that are not a pickle.
    except (ValueError, IndexError, KeyError, TypeError, OverflowError) as error:
        if isinstance(error, UserError):
            raise
        raise UserError(f"{source}: its pickle is damaged ({error}); copy it again") from error
    raise UserError(f"{source}: its pickle ends early; copy it again")


class _Machine:
    """The stack and the memo of a pickle."""

    def __init__(self, source: str):
        self._source = source
        self._stack: list[Any] = []
        self._memo: dict[int, Any] = {}

    def step(self, name: str, argument: Any) -> None:
        """Execute one opcode."""
        if name in _VALUES:
            self._stack.append(argument)
        elif name in _CONSTANTS:
            self._stack.append(_CONSTANTS[name])
        elif name in _EMPTY:
            self._stack.append(_EMPTY[name]())
        elif name in _TUPLES:
            items = [self.pop(object) for _ in range(_TUPLES[name])]
            self._stack.append(tuple(reversed(items)))
        elif name == "TUPLE":
            self._stack.append(tuple(self._since_mark()))
        elif name == "MARK":
            self._stack.append(_MARK)
        elif name in ("BINPUT", "LONG_BINPUT", "PUT"):
            self._memo[int(argument)] = self._top(object)
        elif name == "MEMOIZE":
            self._memo[len(self._memo)] = self._top(object)
        elif name in ("BINGET", "LONG_BINGET", "GET"):
            self._stack.append(self._memo[int(argument)])
        elif name == "SETITEM":
            value, key = self.pop(object), self.pop(object)
            self._set([key, value])
        elif name == "SETITEMS":
            self._set(self._since_mark())
        elif name == "APPEND":
            value = self.pop(object)
            self._top(list).append(value)
        elif name == "APPENDS":
            values = self._since_mark()
            self._top(list).extend(values)
        elif name == "GLOBAL":
            self._global(argument)
        elif name == "STACK_GLOBAL":
            attribute, module = self.pop(str), self.pop(str)
            self._global(f"{module} {attribute}")
        elif name == "BINPERSID":
            self._stack.append(self._storage(self.pop(tuple)))
        elif name == "REDUCE":
            arguments, function = self.pop(tuple), self.pop(Global)
            self._stack.append(self._call(function.name, arguments))
        elif name == "BUILD":
            # torch attaches `_metadata`, versions of modules, to a state dict. It is not needed.
            self.pop(dict)
            self._top(dict)
        elif name not in _NOTHING:
            raise self._refusal(f"the pickle opcode {name}")

    def pop(self, kind: type) -> Any:
        """Take the top of the stack, which must be of a type."""
        value = self._top(kind)
        self._stack.pop()
        return value

    def _top(self, kind: type) -> Any:
        value = self._stack[-1]
        if value is _MARK or not isinstance(value, kind):
            raise ValueError(f"{type(value).__name__} where {kind.__name__} belongs")
        return value

    def _since_mark(self) -> list[Any]:
        """Take everything above the last mark, and the mark."""
        values: list[Any] = []
        while (value := self._stack.pop()) is not _MARK:
            values.append(value)
        return values[::-1]

    def _set(self, pairs: list[Any]) -> None:
        target = self._top(dict)
        for key, value in zip(pairs[::2], pairs[1::2], strict=True):
            # Hashing other keys could take for ever, such as tuples nested twice at each level.
            if type(key) not in (str, int):
                raise self._refusal(f"a dict with keys of type {type(key).__name__}")
            target[key] = value

    def _global(self, name: str) -> None:
        if name not in STORAGES and name not in (ORDERED_DICT, TENSOR, PARAMETER):
            raise self._refusal(f"{name.replace(' ', '.')!r}")
        self._stack.append(Global(name))

    def _call(self, name: str, arguments: tuple[Any, ...]) -> Any:
        if name == ORDERED_DICT and not arguments:
            return {}
        if name == PARAMETER and arguments and isinstance(arguments[0], Tensor):
            return arguments[0]
        if name == TENSOR and len(arguments) >= 4:
            storage, offset, shape, strides = arguments[:4]
            if isinstance(storage, Storage) and all(
                isinstance(sizes, tuple) and all(type(size) is int for size in sizes)
                for sizes in ((offset,), shape, strides)
            ):
                return Tensor(storage, offset, shape, strides)
        raise self._refusal(f"{name.replace(' ', '.')!r} with other arguments than torch gives it")

    def _storage(self, identifier: tuple[Any, ...]) -> Storage:
        """Read what torch writes for a storage: ("storage", class, key, device, elements)."""
        if len(identifier) == 5 and identifier[0] == "storage":
            kind, key, _, numel = identifier[1:]
            if (
                isinstance(kind, Global)
                and kind.name in STORAGES
                and isinstance(key, str)
                and type(numel) is int
            ):
                return Storage(kind.name, key, numel)
        raise self._refusal("a reference to something other than a storage")

    def _refusal(self, what: str) -> UserError:
        return UserError(
            f"{self._source}: holds {what}, which is not unpickled because that could run code; "
            "in PyTorch save the tensors alone: torch.save(model.state_dict(), ...)"
        )
