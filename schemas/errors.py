"""The error tree: every error qamdt raises on purpose, and what a user is told.

    QamdtError
      AudioError           one file or window cannot be read as audio
        EmptyFile          zero bytes
        UnreadableAudio    no decoder understands it, or it is damaged
        EndOfAudio         the window lies (partly) behind the end of what can be decoded
        FileChanged        the file is not the one that was ingested
      ConfigError          a setting that cannot be used; names field, value and fix
      ModelError           a model that cannot be loaded or run
        WeightsMissing     a checkpoint asked for is not there, or is not the pinned one
        WorkerDied         the process that ran the model ended while it held this row
        InvalidAnswer      a language model's answer does not have the form that was asked for
      StoreError           the dataset folder is not what it should be
        DatasetBusy        another run holds the dataset folder
      MetricError          a metric that cannot be computed from what there is

AudioError and ModelError met while a row is processed become that row's `error_type` and
`error_message`; the others stop the command. Each message says what was given, what was expected
and what to do.
"""


class QamdtError(Exception):
    """Root of every error that qamdt raises on purpose."""


class AudioError(QamdtError):
    """One file or window cannot be read as audio."""


class EmptyFile(AudioError):
    """The file has zero bytes."""


class UnreadableAudio(AudioError):
    """No decoder understands the file, or it is damaged."""


class EndOfAudio(AudioError):
    """The window lies, wholly or in part, behind the end of what can be decoded."""


class FileChanged(AudioError):
    """The file on disk is not the one that was ingested."""


class ConfigError(QamdtError):
    """A setting that cannot be used."""


class ModelError(QamdtError):
    """A model that cannot be loaded or run."""


class WeightsMissing(ModelError):
    """A checkpoint that was asked for is not there, or is not the pinned one."""


class WorkerDied(ModelError):
    """The process that ran the model ended while it held this row."""


class InvalidAnswer(ModelError):
    """A language model's answer does not have the form that was asked for."""


class StoreError(QamdtError):
    """The dataset folder is not what it should be."""


class DatasetBusy(StoreError):
    """Another run holds the dataset folder."""


class MetricError(QamdtError):
    """A metric that cannot be computed from what there is."""
