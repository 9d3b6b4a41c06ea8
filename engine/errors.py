"""Every error Rebus raises on purpose. A message says what was wrong, with the value, and what to do next."""


class RebusError(Exception):
    """The root of the tree. `exit_code` is the command line's, `status` the HTTP endpoint's."""

    exit_code = 1
    status = 500


class InvalidInput(RebusError):
    """The caller asked for something that cannot be: a bad value, an unreadable upload, an empty query."""

    exit_code = 2
    status = 400


class TooLarge(InvalidInput):
    """An input exceeds a limit of config.toml."""

    status = 413


class NotFound(RebusError):
    """The item, version or file asked for is not there."""

    status = 404


class Interrupted(RebusError):
    """A person ended what keeps nothing that was finished."""

    exit_code = 130


class ConfigError(RebusError):
    """config.toml, the environment or a flag holds an unknown key or an impossible value."""

    exit_code = 2


class NotReady(RebusError):
    """The library cannot answer yet: nothing indexed, no encoder, no published version."""

    status = 503


class Busy(NotReady):
    """Too many ask for the same at once. retry_after_s: when to ask again."""

    def __init__(self, message: str, retry_after_s: int) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class EncoderUnavailable(NotReady):
    """The weights of the encoder cannot be had, or do not fit its configuration."""


class OtherStarter(EncoderUnavailable):
    """Rebus comes with another small encoder than the one that embedded a library. Its message names no path."""


class LibraryBusy(RebusError):
    """Another process is writing to the library."""

    status = 409


class DriveGone(RebusError):
    """A media folder went away while it was being read: a drive was taken out, a share was lost."""


class DiskFull(RebusError):
    """There is no room left on the disk that holds `place`."""

    def __init__(self, place: object) -> None:
        super().__init__(
            f"the disk of {place} is full. Nothing that was finished is lost: make room, and run the same command again"
        )


class NoRoom(DiskFull):
    """The disk has not the room that something will take. The message is the whole of it."""

    def __init__(self, message: str) -> None:
        RebusError.__init__(self, message)


class ArtifactError(RebusError):
    """A stored artifact (encoder, version) is incomplete, altered, or of an unknown format."""


class NothingWhole(ArtifactError, NotReady):
    """No version of the library can be served: files of each are cut short, altered or gone. Names the newest's."""


class CatalogError(RebusError):
    """The catalog cannot be opened, or its schema is not the one this release expects."""


class MediaError(InvalidInput):
    """One file or upload cannot be used. It is recorded, never a stop.

    `stage` is where it failed (scan, read, decode, caption), `reason` what was wrong, `hint` what to do.
    """

    def __init__(self, stage: str, reason: str, hint: str) -> None:
        super().__init__(f"{reason} ({hint})")
        self.stage, self.reason, self.hint = stage, reason, hint
