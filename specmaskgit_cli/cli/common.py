"""The options that several commands have in common."""

from __future__ import annotations

from typing import Annotated

import typer

from ..decoding.settings import ORDERS
from .complete import among, models, vocoders

Inputs = Annotated[
    list[str], typer.Argument(metavar="IN", help="Sound files to edit; they are only read.", show_default=False)
]
Output = Annotated[
    str, typer.Option("--output", "-o", help="File to write: .wav, .flac, .ogg, .opus, .mp3; - is standard output.")
]
EditOutput = Annotated[
    str | None,
    typer.Option("--output", "-o", help="File or directory to write; like IN.extended.wav beside IN if not given."),
]
Prompt = Annotated[
    str | None, typer.Option(metavar="TEXT", help="What the new part should be; by default what fits the sound.")
]
Seed = Annotated[int | None, typer.Option(help="Same seed, same sound; drawn if not given.")]
Num = Annotated[int, typer.Option("--num", "-n", help="Sounds to make, with seeds counting up.")]
Steps = Annotated[int, typer.Option(help="Decoding steps.")]
Guidance = Annotated[float, typer.Option(help="How closely to follow the prompt; 0 is fastest.")]
Temperature = Annotated[float, typer.Option(help="Variety of the sampling.")]
TopP = Annotated[float, typer.Option(help="Share of the probability to sample from.")]
Order = Annotated[
    str,
    typer.Option(
        help=f"Which positions are decided first: {', '.join(ORDERS)}.",
        autocompletion=among(*ORDERS),
    ),
]
Negative = Annotated[str | None, typer.Option(metavar="TEXT", help="What not to hear.")]
Model = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="default, a directory, or owner/name on the Hub.", autocompletion=models),
]
Vocoder = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="griffin-lim, or a model whose vocoder to use.", autocompletion=vocoders),
]
Backend = Annotated[str, typer.Option(help="auto, onnx or torch.", autocompletion=among("auto", "onnx", "torch"))]
Device = Annotated[str, typer.Option(help="Where torch runs, such as cpu or cuda.")]
Threads = Annotated[int | None, typer.Option(help="CPU threads; all that are available if not given.")]
Lufs = Annotated[
    float | None, typer.Option(metavar="LUFS", help="Loudness to bring it to, such as -16; peaks stay below -1 dBTP.")
]
NoNormalize = Annotated[bool, typer.Option("--no-normalize", help="Keep the level the model gave it.")]
Trim = Annotated[bool, typer.Option("--trim", help="Cut the silence at both ends.")]
Bits = Annotated[str | None, typer.Option(metavar="16|24|32f", help="How to store samples in WAV and FLAC.")]
Rate = Annotated[int | None, typer.Option(metavar="HZ", help="Resample, such as to 44100 or 48000.")]
Channels = Annotated[int | None, typer.Option(metavar="1|2", help="Mix to mono, or make two channels of one.")]
NoMetadata = Annotated[bool, typer.Option("--no-metadata", help="Do not store in the file how it was made.")]
Image = Annotated[str | None, typer.Option(metavar="FILE", help="Also draw the spectrogram as PNG.")]
Play = Annotated[bool, typer.Option("--play", help="Then play it, with the first player found.")]
AsJson = Annotated[bool, typer.Option("--json", help="Report as JSON on standard output.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Errors only.")]
ReportOnly = Annotated[bool, typer.Option("--quiet", "-q", help="The report and errors only.")]
