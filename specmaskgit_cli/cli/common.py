"""The options that several commands have in common, beside those of tasks, as type hints of parameters."""

from __future__ import annotations

from functools import partial
from typing import Annotated

import typer

from ..options import OutputOptions, SamplingOptions
from ..options.fields import MODEL, OUTPUT
from .complete import among, models, vocoders
from .parameters import hint_of

_output, _model = (partial(typer.Option, rich_help_panel=group) for group in (OUTPUT, MODEL))

Output = Annotated[
    str, _output("--output", "-o", help="File to write: .wav, .flac, .ogg, .opus, .mp3; - is standard output.")
]
EditOutput = Annotated[
    str | None,
    _output("--output", "-o", help="File or directory to write; like IN.extended.wav beside IN if not given."),
]
Steps = hint_of(SamplingOptions, "steps")
Guidance = hint_of(SamplingOptions, "guidance")
NoMetadata = hint_of(OutputOptions, "metadata")
Image = Annotated[str | None, _output(metavar="FILE", help="Also draw the spectrogram as PNG.")]
Play = Annotated[bool, _output("--play", help="Then play it, with the first player found.")]
AsJson = Annotated[bool, _output("--json", help="Report as JSON on standard output.")]
Quiet = Annotated[bool, _output("--quiet", "-q", help="Errors only.")]
ReportOnly = Annotated[bool, _output("--quiet", "-q", help="The report and errors only.")]
Model = Annotated[
    str | None, _model(metavar="NAME", help="default, a directory, or owner/name on the Hub.", autocompletion=models)
]
Vocoder = Annotated[
    str | None, _model(metavar="NAME", help="griffin-lim, or a model whose vocoder to use.", autocompletion=vocoders)
]
Backend = Annotated[str, _model(help="auto, onnx or torch.", autocompletion=among("auto", "onnx", "torch"))]
Device = Annotated[str, _model(help="Where torch runs, such as cpu or cuda.")]
Threads = Annotated[int | None, _model(help="CPU threads; all that are available if not given.")]
