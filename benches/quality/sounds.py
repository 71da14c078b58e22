"""Speech of several people and four noises, at 48 kHz, always the same."""

import subprocess
from pathlib import Path

import numpy as np
from scipy.signal import butter, sosfilt

RATE = 48_000
# DNSMOS looks at windows of 9 s.
SECONDS = 10

# People who spoke the announcements of Debian's asterisk-core-sounds (16 kHz) and of its alsa-utils (48 kHz).
SPEAKERS = {
    "en": ("en_US_f_Allison", ["demo-congrats"]),
    "es": ("es_MX_f_Allison", ["demo-congrats"]),
    "fr": ("fr_CA_f_June", ["demo-congrats"]),
    "it": ("it_IT_m_Carlo", ["demo-congrats"]),
    "ru": ("ru_RU_f_IvrvoiceRU", ["demo-congrats"]),
}
ALSA = ["Front_Center", "Front_Left", "Rear_Right", "Side_Left"]
BABBLE = ["demo-instruct", "vm-options"]


def decoded(file: Path, *options: str) -> np.ndarray:
    """Any file's sound, mono."""
    run = ["ffmpeg", "-nostdin", "-v", "error", *options, "-i", str(file), "-f", "f32le", "-ac", "1", "-ar", str(RATE), "-"]
    return np.frombuffer(subprocess.run(run, check=True, capture_output=True).stdout, np.float32).astype(np.float64)


def fitted(sound: np.ndarray, rms: float = 0.05) -> np.ndarray:
    """As long as every clip, and as loud: speech by the tenths of a second in which somebody speaks."""
    sound = np.resize(sound, SECONDS * RATE)
    pieces = (sound**2).reshape(-1, RATE // 10).mean(axis=1)
    active = pieces[pieces > pieces.max() * 1e-3]
    return sound * rms / np.sqrt(active.mean())


def speech(packages: Path) -> dict[str, np.ndarray]:
    """One clip of each person."""
    sounds = packages / "usr/share/asterisk/sounds"
    clips = {
        language: fitted(np.concatenate([decoded(sounds / folder / f"{name}.g722", "-f", "g722") for name in names]))
        for language, (folder, names) in SPEAKERS.items()
    }
    alsa = [decoded(packages / f"usr/share/sounds/alsa/{name}.wav") for name in ALSA]
    return clips | {"alsa": fitted(np.concatenate(alsa))}


def noises(packages: Path) -> dict[str, np.ndarray]:
    """White noise, babble of nine people's announcements, a fan, a keyboard."""
    random = np.random.default_rng(1)
    samples = SECONDS * RATE
    time = np.arange(samples) / RATE
    white = random.standard_normal(samples)
    sounds = packages / "usr/share/asterisk/sounds"
    voices = [
        np.roll(fitted(decoded(sounds / folder / f"{name}.g722", "-f", "g722")), random.integers(samples))
        for folder, _ in SPEAKERS.values()
        for name in BABBLE
    ]
    low = sosfilt(butter(2, 400, fs=RATE, output="sos"), random.standard_normal(samples))
    hum = sum(np.sin(2 * np.pi * 100 * n * time) / n**2 for n in range(1, 6))
    keys = np.zeros(samples)
    click = random.standard_normal(RATE // 50) * np.exp(-np.arange(RATE // 50) / (RATE * 0.003))
    for begin in random.integers(0, samples - len(click), 7 * SECONDS):
        keys[begin : begin + len(click)] += click * random.uniform(0.3, 1)
    return {"white": white, "babble": sum(voices), "fan": low / low.std() + 0.3 * hum, "keyboard": keys}


def mixed(clean: np.ndarray, noise: np.ndarray, decibels: float) -> np.ndarray:
    """Speech and noise, the speech by so much louder over the whole clip."""
    scale = np.sqrt((clean**2).mean() / (noise**2).mean() / 10 ** (decibels / 10))
    return clean + scale * noise
