"""The sounds of a session: in a temporary folder that is gone when the server ends, found by random ids alone."""

from __future__ import annotations

import re
import secrets
import tempfile
import threading
from dataclasses import dataclass
from pathlib import Path

from ..audio.files import read_audio, resample, to_mono
from ..config.settings import MelConfig
from ..errors import SmgError
from ..sounds.sound import Sound
from ..spectrogram.image import save_spectrogram
from ..spectrogram.mel import log_mel

MAX_UPLOAD_BYTES = 64 << 20
MAX_SECONDS = 300  # of a sound to upload or to edit
MAX_SAMPLES = 32_000_000  # of all channels: 5 minutes of 48 kHz stereo and some
MAX_FOLDER_BYTES = 2 << 30  # the oldest sounds make room for new ones
# What libsndfile calls the formats that browsers play.
MEDIA_TYPES = {
    "WAV": "audio/wav",
    "WAVEX": "audio/wav",
    "FLAC": "audio/flac",
    "OGG": "audio/ogg",
    "MP3": "audio/mpeg",
}


@dataclass(frozen=True)
class Entry:
    """A sound: its file, the PNG of its spectrogram, both in bytes, and what the page is told of it."""

    path: Path
    image: Path
    bytes: int
    media_type: str
    about: dict


class Sounds:
    """Keeps sounds by their ids."""

    def __init__(self, mel: MelConfig):
        self._mel = mel
        self._folder = tempfile.TemporaryDirectory(prefix="smg-ui-")
        self._entries: dict[str, Entry] = {}
        self._changing = threading.Lock()  # uploads and jobs come from different threads

    def get(self, id: str) -> Entry | None:
        return self._entries.get(id)

    def new_path(self) -> Path:
        """Where the bytes of a sound can be written before they are known to be one."""
        return Path(self._folder.name) / secrets.token_hex(16)

    def keep_made(self, sound: Sound, task: str, source: str | None) -> dict:
        """Store what a task made as a WAV file with its metadata, and tell of it; `source`: id of what was edited."""
        path = self.new_path().with_suffix(".wav")
        saved = sound.save(str(path))
        options = sound.options.to_dict()
        del options[sound.options.reads]
        about = {
            "task": task,
            "source": source,
            "options": options,
            "loops": sound.loops,
            "warnings": list(saved.warnings),
            "seconds_taken": round(sound.seconds_taken, 3),
        }
        return self._keep(path, about)

    def keep_upload(self, path: Path) -> dict:
        """Take a file at `new_path` in, as it is, and tell of it.

        Raises:
            SmgError: not a sound, or too long; the file is removed.
        """
        try:
            return self._keep(path, {"task": "upload", "source": None, "options": {}, "loops": False, "warnings": []})
        except SmgError as error:
            path.unlink(missing_ok=True)
            raise SmgError(self.without_paths(str(error).replace(str(path), "the file"))) from None

    def without_paths(self, text: str) -> str:
        """A message without where the sounds lie, which is not for those who only see the page."""
        folder = re.escape(self._folder.name)
        return re.sub(folder, "the folder of this page", re.sub(rf"{folder}[/\\\\]\w+(\.\w+)*", "the sound", text))

    def close(self) -> None:
        self._folder.cleanup()

    def _keep(self, path: Path, about: dict) -> dict:
        audio = read_audio(path, MAX_SAMPLES)
        if (seconds := audio.samples.shape[1] / audio.rate) > MAX_SECONDS and about["task"] == "upload":
            raise SmgError(f"the sound lasts {seconds:.0f} s; use one of up to {MAX_SECONDS} s")
        if audio.format not in MEDIA_TYPES:
            raise SmgError(f"{path} is {audio.format}; convert it to WAV, FLAC, OGG or MP3")
        image = path.with_suffix(".png")
        mono = resample(to_mono(audio.samples), audio.rate, self._mel.sample_rate)
        save_spectrogram(image, log_mel(mono, self._mel), self._mel)
        id = secrets.token_hex(16)
        about = {
            "id": id,
            "seconds": round(seconds, 3),
            "rate": audio.rate,
            "channels": len(audio.samples),
            **about,
        }
        size = path.stat().st_size + image.stat().st_size
        with self._changing:
            while self._entries and size + sum(entry.bytes for entry in self._entries.values()) > MAX_FOLDER_BYTES:
                oldest = self._entries.pop(next(iter(self._entries)))
                oldest.path.unlink(missing_ok=True)
                oldest.image.unlink(missing_ok=True)
            self._entries[id] = Entry(path, image, size, MEDIA_TYPES[audio.format], about)
        return about
