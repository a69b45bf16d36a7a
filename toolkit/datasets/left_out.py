"""The one rule for pictures that prove unusable while they are read: left out, and told."""

from asmnet_kit.base.console import counted, stderr
from asmnet_kit.base.errors import DatasetError, one_line
from asmnet_kit.datasets.base import Problem
from asmnet_kit.datasets.registry import MAX_BAD_SHARE, SHOWN_PROBLEMS, first_problems


class LeftOut:
    """The pictures that were left out so far; too many are an error.

    The first few are told on stderr as they are met.

    Args:
        name: of the data set, for messages.
        total: how many pictures it has.
        max_bad_share: of them that may be left out; infinity for any number.
        rest: what lists those that are not told.
    """

    def __init__(
        self,
        name: str,
        total: int,
        max_bad_share: float = MAX_BAD_SHARE,
        *,
        rest: str = "asmnet-kit data inspect",
    ) -> None:
        self.problems: list[Problem] = []
        self._rest = rest
        self._name, self._total, self._max_bad_share = name, total, max_bad_share
        self._names: set[str] = set()

    def __contains__(self, name: str) -> bool:
        return name in self._names

    def add(self, name: str, error: DatasetError | OSError) -> None:
        """Leave a picture out, and say so.

        Args:
            name: of the face or picture.
            error: why.

        Raises:
            DatasetError: too many are left out.
        """
        words = error.strerror if isinstance(error, OSError) else None
        # Without the blanks that one_line leaves out, too: a name may begin or end with some.
        reason = words or one_line(error).removeprefix(" ".join(f"{name}: ".split()) + " ")
        self.problems.append(Problem(name, reason))
        self._names.add(name)
        if len(self.problems) > self._max_bad_share * self._total:
            raise DatasetError(
                f"{self._name}: {len(self.problems)} of {counted(self._total, 'picture')} cannot "
                f"be used, more than {self._max_bad_share:.0%}:{first_problems(self.problems)}"
            ) from error
        if len(self.problems) <= SHOWN_PROBLEMS:
            stderr().print(f"left out: {name}: {reason}", markup=False)
        elif len(self.problems) == SHOWN_PROBLEMS + 1:
            stderr().print(f"left out: more; {self._rest} lists them", markup=False)
