"""Quality of speech before and after each engine: PESQ, STOI, DNSMOS over several people, noises and levels.

Writes FOLDER/quality.json: for each engine, noise and level the means over the people, and prints the tables of
docs/filters.md. Use: measure.py ATTACHE FOLDER, with Debian's packages unpacked in FOLDER/packages (see measure.sh).
"""

import json
import subprocess
import sys
import warnings
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import soundfile
from pesq import pesq
from pystoi import stoi
from scipy.signal import resample_poly

import sounds

warnings.filterwarnings("ignore")
ENGINES = ["noisy", "rnnoise", "nsnet2", "webrtcdsp"]
LEVELS = [0, 5, 10, 15]
SCORES = ["pesq", "stoi", "sig", "bak", "ovrl"]


def at_16k(sound: np.ndarray) -> np.ndarray:
    return np.clip(resample_poly(sound, 1, 3), -1, 1)


def scores(clean: np.ndarray, sound: np.ndarray) -> list[float]:
    """In the order of SCORES. PESQ and DNSMOS know 16 kHz."""
    from speechmos import dnsmos

    clean, sound = at_16k(clean), at_16k(sound)
    mos = dnsmos.run(sound, 16_000)
    wide = pesq(16_000, clean, sound, "wb")
    return [wide, float(stoi(clean, sound, 16_000)), *(float(mos[f"{name}_mos"]) for name in SCORES[2:])]


def denoised(attache: str, engine: str, file: Path) -> np.ndarray:
    if engine == "noisy":
        return soundfile.read(file)[0]
    to = file.with_suffix(f".{engine}.wav")
    run = [attache, "denoise", str(file), "-o", str(to), "--engine", engine, "--force"]
    subprocess.run(run, check=True, capture_output=True)
    return soundfile.read(to)[0]


def one(job: tuple) -> list[tuple]:
    """All engines over one mixture."""
    attache, folder, person, noise, level, clean, sound = job
    file = folder / f"{person}-{noise}-{level}.wav"
    soundfile.write(file, sound, sounds.RATE, subtype="FLOAT")
    return [(engine, noise, level, person, scores(clean, denoised(attache, engine, file))) for engine in ENGINES]


def jobs(attache: str, folder: Path):
    packages, mixtures = folder / "packages", folder / "mixtures"
    mixtures.mkdir(exist_ok=True)
    noises = sounds.noises(packages)
    for person, clean in sounds.speech(packages).items():
        yield attache, mixtures, person, "none", None, clean, clean
        for noise, sound in noises.items():
            for level in LEVELS:
                yield attache, mixtures, person, noise, level, clean, sounds.mixed(clean, sound, level)


def table(results: list[tuple], title: str, of, key) -> None:
    """A row for each engine and group: the means of all scores."""
    print(f"\n| engine | {title} | " + " | ".join(SCORES) + " |\n|---|---|" + "---|" * len(SCORES))
    for engine in ENGINES:
        rows = [row for row in results if row[0] == engine and of(row)]
        for group in dict.fromkeys(key(row) for row in rows):
            mean = np.mean([row[4] for row in rows if key(row) == group], axis=0)
            print(f"| {engine} | {group} | " + " | ".join(f"{score:.2f}" for score in mean) + " |")


def main() -> None:
    attache, folder = sys.argv[1], Path(sys.argv[2])
    with ProcessPoolExecutor(2) as pool:
        results = [row for rows in pool.map(one, jobs(attache, folder)) for row in rows]
    (folder / "quality.json").write_text(json.dumps({"scores": SCORES, "results": results}))
    is_noisy = lambda row: row[1] != "none"
    table(results, "all", is_noisy, lambda row: "all")
    table(results, "level", is_noisy, lambda row: f"{row[2]} dB")
    table(results, "noise", is_noisy, lambda row: row[1])
    table(results, "clean speech", lambda row: row[1] == "none", lambda row: "none")
    before = {row[1:4]: row[4] for row in results if row[0] == "noisy"}
    for engine in ENGINES[1:]:
        rows = [row for row in results if row[0] == engine and is_noisy(row)]
        worst = np.min([np.subtract(row[4], before[row[1:4]]) for row in rows], axis=0)
        print(f"worst change of any mixture, {engine}: " + ", ".join(f"{s} {w:+.2f}" for s, w in zip(SCORES, worst)))


if __name__ == "__main__":
    main()
