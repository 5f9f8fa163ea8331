"""The sounds of a session: in a temporary folder that is gone when the server ends, found by random ids alone."""

from __future__ import annotations

import re
import secrets
import tempfile
import threading
from dataclasses import dataclass
from pathlib import Path

from ..audio.files import read_audio, resample, to_mono
from ..audio.samples import Audio
from ..config.settings import MelConfig
from ..errors import SmgError
from ..sounds.sound import Sound
from ..spectrogram.image import save_spectrogram
from ..spectrogram.mel import log_mel
from .limits import MAX_SAMPLES, MAX_SECONDS

MAX_FOLDER_BYTES = 2 << 30  # the oldest sounds make room for new ones
MEDIA_TYPES = {
    "wav": "audio/wav",
    "flac": "audio/flac",
    "ogg": "audio/ogg",
    "opus": "audio/ogg; codecs=opus",
    "mp3": "audio/mpeg",
}
# What libsndfile calls the formats that browsers play.
_UPLOADS = {"WAV": "wav", "WAVEX": "wav", "FLAC": "flac", "OGG": "ogg", "MP3": "mp3"}


@dataclass
class Entry:
    """A sound: its file, the bytes that it and its picture take, what clients are told of it.

    `image`: the PNG of its spectrogram, once somebody has asked for it.
    """

    path: Path
    bytes: int
    about: dict
    image: Path | None = None

    @property
    def media_type(self) -> str:
        return MEDIA_TYPES[self.about["format"]]


class Sounds:
    """Keeps sounds by their ids."""

    def __init__(self, mel: MelConfig):
        self._mel = mel
        self._folder = tempfile.TemporaryDirectory(prefix="smg-server-")
        self._entries: dict[str, Entry] = {}
        self._changing = threading.Lock()  # uploads and jobs come from different threads
        self._drawing = threading.Lock()

    def get(self, id: str) -> Entry | None:
        return self._entries.get(id)

    def new_path(self) -> Path:
        """Where the bytes of a sound can be written before they are known to be one."""
        return Path(self._folder.name) / secrets.token_hex(16)

    def keep_made(self, sound: Sound, data: memoryview, format: str, about: dict) -> Entry:
        """Store a sound as its file, `data`; `about`: what else is to be told of it."""
        path = self.new_path().with_suffix(f".{format}")
        path.write_bytes(data)
        facts = _facts(format, sound.seconds, sound.rate, len(sound.samples))
        made = {"loops": sound.loops, "warnings": list(sound.warnings), "seconds_taken": round(sound.seconds_taken, 3)}
        return self._keep(path, facts | about | made)

    def keep_upload(self, path: Path) -> Entry:
        """Take a file at `new_path` in, as it is.

        Raises:
            SmgError: not a sound, or too long; the file is removed.
        """
        try:
            audio = check_input(path, "the file")
            if audio.format not in _UPLOADS:
                raise SmgError(f"the file is {audio.format}; convert it to WAV, FLAC, OGG or MP3")
        except BaseException:
            path.unlink(missing_ok=True)
            raise
        seconds = audio.samples.shape[1] / audio.rate
        facts = _facts(_UPLOADS[audio.format], seconds, audio.rate, len(audio.samples))
        return self._keep(path, facts | {"task": "upload", "options": {}, "loops": False, "warnings": []})

    def image(self, entry: Entry) -> Path:
        """The PNG of a sound's spectrogram, drawn when it is first asked for. Raises SmgError: the sound is gone."""
        with self._drawing:
            if entry.image is None:
                audio = read_audio(entry.path, MAX_SAMPLES)
                mono = resample(to_mono(audio.samples), audio.rate, self._mel.sample_rate)
                image = entry.path.with_suffix(".png")
                save_spectrogram(image, log_mel(mono, self._mel), self._mel)
                entry.image, entry.bytes = image, entry.bytes + image.stat().st_size
            return entry.image

    def take(self, entry: Entry) -> bytes:
        """The file of a sound, which is kept no longer."""
        data = entry.path.read_bytes()
        with self._changing:
            self._entries.pop(entry.about["id"], None)
            self._remove(entry)
        return data

    def without_paths(self, text: str) -> str:
        """A message without where the sounds lie, which is nothing for clients."""
        folder = re.escape(self._folder.name)
        return re.sub(folder, "the folder of the server", re.sub(rf"{folder}[/\\\\]\w+(\.\w+)*", "the sound", text))

    def close(self) -> None:
        self._folder.cleanup()

    def _keep(self, path: Path, about: dict) -> Entry:
        id = secrets.token_hex(16)
        entry = Entry(path, path.stat().st_size, {"id": id, "url": f"/v1/sounds/{id}"} | about)
        with self._changing:
            while self._entries and entry.bytes + sum(each.bytes for each in self._entries.values()) > MAX_FOLDER_BYTES:
                self._remove(self._entries.pop(next(iter(self._entries))))
            self._entries[id] = entry
        return entry

    @staticmethod
    def _remove(entry: Entry) -> None:
        for file in (entry.path, entry.path.with_suffix(".png")):
            file.unlink(missing_ok=True)


def check_input(path: Path, name: object) -> Audio:
    """A sound that is to be edited, `name` in messages. Raises SmgError: it cannot be read, or is too long."""
    try:
        audio = read_audio(path, MAX_SAMPLES)
    except SmgError as error:
        raise SmgError(str(error).replace(str(path), str(name))) from None
    if (seconds := audio.samples.shape[1] / audio.rate) > MAX_SECONDS:
        raise SmgError(f"the sound lasts {seconds:.0f} s; use one of up to {MAX_SECONDS} s")
    return audio


def _facts(format: str, seconds: float, rate: int, channels: int) -> dict:
    return {"format": format, "seconds": round(seconds, 3), "rate": rate, "channels": channels}
