"""Progress on the terminal: a bar where there is one, else a line every few seconds. Written to standard error."""

import sys
import time
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bars

from engine.words import plain

_QUIET_S = 5.0  # between lines when standard error is not a terminal


class Progress:
    """A context that shows `tell(what, done, total)` and `hear(figures, epoch, epochs)`."""

    def __init__(self) -> None:
        self._console = Console(stderr=True)
        columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
        self._bars = Bars(*columns, console=self._console, transient=True, disable=not self._console.is_terminal)
        self._last, self._what = 0.0, ""

    def __enter__(self) -> "Progress":
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bars.stop()

    def tell(self, what: str, done: int, total: int) -> None:
        """Show how far `what` is."""
        if self._console.is_terminal:
            if what != self._what:
                for task in self._bars.task_ids:
                    self._bars.remove_task(task)
                self._bars.add_task(what, total=total)
                self._what = what
            self._bars.update(self._bars.task_ids[-1], completed=done, total=total or None)
        elif time.monotonic() - self._last >= _QUIET_S:
            self._last = time.monotonic()
            sys.stderr.write(f"{what}: {done:,} of {total:,}\n" if total else f"{what}\n")
            sys.stderr.flush()

    def note(self, text: str) -> None:
        """Show a sentence, on a line that stays."""
        self._console.print(plain(text), highlight=False, markup=False, soft_wrap=True)

    def hear(self, figures: dict[str, float], epoch: int, epochs: int) -> None:
        """Show an epoch's figures, or those of a setting that a closed form tried, on a line that stays."""
        if "loss" in figures or not epoch:
            said = f"epoch {epoch} of {epochs}: loss {figures['loss']:.3f}" if epoch else "before training"
            said += ", R@10 on pictures not trained on: "
            said += f"text to image {figures['t2i_r10']:.3f}, image to text {figures['i2t_r10']:.3f}"
        else:
            told = ", ".join(f"{name.replace('_', ' ')} {value:.3f}" for name, value in figures.items())
            said = f"setting {epoch} of {epochs}: {told}"
        self._console.print(said, highlight=False, soft_wrap=True)
