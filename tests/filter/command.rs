//! `attache denoise`: files in, files out, looked at by what is in them.

use std::path::Path;
use std::process::{Command, Output};

use super::sound::{clearness, decoded, encode, mixed, noise, power, speech};

fn attache(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_attache"))
        .arg("denoise")
        .args(arguments)
        .output()
        .unwrap()
}

fn path(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn right(arguments: &[&str]) -> String {
    let output = attache(arguments);
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

/// Fails with this code and these words, and leaves nothing behind.
fn wrong(arguments: &[&str], code: i32, words: &str, folder: &Path) {
    let before = std::fs::read_dir(folder).unwrap().count();
    let output = attache(arguments);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{said}");
    assert!(said.contains(words), "{said}");
    assert_eq!(
        std::fs::read_dir(folder).unwrap().count(),
        before,
        "{words}"
    );
}

#[test]
fn noisy_files_of_every_kind_come_out_clearer_in_every_format() {
    let folder = tempfile::tempdir().unwrap();
    let clean = speech();
    let noisy = mixed(clean, &noise(clean.len(), 0.03));
    let before = clearness(&noisy, clean);
    let video = ["-f", "lavfi", "-i", "color=gray:s=64x64:r=10"];
    let with_picture: Vec<&str> = video
        .into_iter()
        .chain(["-shortest", "-c:v", "libvpx", "-c:a", "libopus"])
        .collect();
    let inputs: [(&str, &[&str], &str); 6] = [
        ("a.wav", &["-ar", "44100"], "flac"),
        ("a.flac", &[], "wav"),
        ("a.mp3", &[], "wav"),
        ("a.opus", &["-c:a", "libopus"], "opus"),
        ("a.mkv", &with_picture, "ogg"),
        ("a.m4a", &["-c:a", "aac"], "wav"),
    ];
    for (name, more, to) in inputs {
        let (from, to) = (
            folder.path().join(name),
            folder.path().join(format!("out-{name}.{to}")),
        );
        encode(&noisy, 1, &from, more);
        let said = right(&[path(&from), "-o", path(&to), "--engine", "rnnoise"]);
        for word in [
            "s of sound in",
            "with rnnoise",
            "µs p99",
            "real-time factor",
        ] {
            assert!(said.contains(word), "{name}: {said}");
        }
        let output = decoded(&to, 1);
        // Coders begin and end within some tens of milliseconds of where they should.
        assert!(
            output.len().abs_diff(noisy.len()) < 4000,
            "{name}: {} samples",
            output.len()
        );
        let after = best_clearness(&output, clean);
        println!("{name}: {before:.1} -> {after:.1} dB");
        assert!(after > before + 0.7, "{name}: {before} -> {after} dB");
    }
}

/// Coders shift sound by some milliseconds.
fn best_clearness(output: &[f32], clean: &[f32]) -> f32 {
    let shifts = (0..3000).step_by(1);
    let part = 30_000..60_000;
    let product = |shift: &usize| -> f32 {
        let shifted = output[part.start + shift..]
            .iter()
            .zip(&clean[part.clone()]);
        shifted.map(|(a, b)| a * b).sum()
    };
    let best = shifts
        .max_by(|a, b| product(a).total_cmp(&product(b)))
        .unwrap();
    clearness(
        &output[best..],
        &clean[..clean.len().min(output.len() - best)],
    )
}

#[test]
fn strength_0_gives_the_same_samples_in_stereo() {
    let folder = tempfile::tempdir().unwrap();
    let (from, to) = (folder.path().join("in.wav"), folder.path().join("out.wav"));
    let stereo: Vec<f32> = noise(40_000, 0.1);
    encode(&stereo, 2, &from, &["-c:a", "pcm_s16le"]);
    let json = right(&[
        path(&from),
        "-o",
        path(&to),
        "--engine",
        "rnnoise",
        "--strength",
        "0",
        "--json",
    ]);
    assert_eq!(decoded(&to, 2), decoded(&from, 2));
    let told: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(told["engine"], "rnnoise");
    // 20,000 samples in each channel, and the latency's frames.
    assert!(told["frames"].as_u64().unwrap() >= 2 * 41, "{json}");
    assert!(
        (told["sound_seconds"].as_f64().unwrap() - 20_000.0 / 48_000.0).abs() < 0.05,
        "{json}"
    );
}

#[test]
fn the_classic_engine_is_there_for_comparison() {
    let folder = tempfile::tempdir().unwrap();
    let (from, to) = (folder.path().join("in.wav"), folder.path().join("out.wav"));
    let sound = noise(48_000 * 3, 0.05);
    encode(&sound, 1, &from, &[]);
    let said = right(&[path(&from), "-o", path(&to), "--engine", "webrtcdsp"]);
    assert!(said.contains("with webrtcdsp"), "{said}");
    let output = decoded(&to, 1);
    assert!(power(&output[96_000..]) < power(&sound[96_000..]) / 4.0);
    wrong(
        &[
            path(&from),
            "-o",
            path(&to),
            "--force",
            "--engine",
            "webrtcdsp",
            "--strength",
            "0.5",
        ],
        2,
        "no strength",
        folder.path(),
    );
}

#[test]
fn what_is_wrong_is_said_in_words() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    std::fs::write(at("text.wav"), "no sound at all").unwrap();
    std::fs::write(at("empty.wav"), "").unwrap();
    encode(&[0.0; 4800], 1, Path::new(&at("good.wav")), &[]);
    let half = std::fs::read(at("good.wav")).unwrap()[..30].to_vec();
    std::fs::write(at("cut.wav"), half).unwrap();
    super::sound::ffmpeg(&[
        "-f",
        "lavfi",
        "-i",
        "color=gray:s=64x64:r=10:d=1",
        "-c:v",
        "libvpx",
        &at("mute.mkv"),
    ]);
    let out = at("out.wav");
    let cases: [(&[&str], i32, &str); 9] = [
        (
            &[&at("gone.wav"), "-o", &out],
            1,
            "gone.wav: cannot be read",
        ),
        (
            &[&at("text.wav"), "-o", &out],
            1,
            "no known format; WAV, FLAC",
        ),
        (&[&at("empty.wav"), "-o", &out], 1, "the file is empty"),
        (&[&at("cut.wav"), "-o", &out], 1, "cut.wav: "),
        (&[&at("mute.mkv"), "-o", &out], 1, "no sound was found"),
        (
            &[&at("good.wav"), "-o", &at("out.txt")],
            2,
            "use .wav, .flac, .opus or .ogg",
        ),
        (&[&at("good.wav"), "-o", &at("good.wav")], 2, "or --force"),
        (
            &[&at("good.wav"), "-o", &out, "--engine", "magic"],
            2,
            "there are rnnoise, nsnet2, webrtcdsp",
        ),
        (
            &[&at("good.wav"), "-o", &at("no/out.wav")],
            1,
            "cannot be written",
        ),
    ];
    for (arguments, code, words) in cases {
        wrong(arguments, code, words, folder.path());
    }
    wrong(
        &[&at("good.wav"), "-o", &out, "--strength", "2"],
        2,
        "from 0 to 1",
        folder.path(),
    );
}
