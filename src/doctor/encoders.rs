//! Encoders and decoders: each with its verdict, and which ones will be used.

use super::report::{Check, Outcome};
use crate::media::Codec;
use crate::media::encoder::policy::State;
use crate::media::encoder::prover::own_program;
use crate::media::encoder::{Encoders, Policy, Standing, Verdict, probe};
use crate::pipeline::Settings;

/// Those that a call needs one of; the others are told, too.
const CALLS: [Codec; 2] = [Codec::Vp8, Codec::H264];
const ALL: [Codec; 5] = [Codec::H264, Codec::Vp8, Codec::Vp9, Codec::Av1, Codec::H265];

/// The encoders with their verdicts; quickly: those that are kept.
pub async fn prove(policy: Policy, settings: &Settings, quick: bool) -> Encoders {
    let program = if quick { None } else { own_program() };
    Encoders::prove_all(policy, &ALL, settings, program).await
}

pub fn look(encoders: &Encoders, settings: &Settings) -> (Vec<Check>, Vec<Standing>) {
    let mut checks = Vec::new();
    let mut all = Vec::new();
    let mut calls = 0;
    for codec in ALL {
        let standings = encoders.standings(codec, settings);
        checks.push(chosen(encoders, codec, settings));
        let is_good = checks
            .last()
            .is_some_and(|check| check.outcome == Outcome::Good);
        calls += usize::from(is_good && CALLS.contains(&codec));
        checks.extend(standings.iter().filter_map(check));
        checks.push(decoder(codec, &standings));
        all.extend(standings);
    }
    let missing = all.iter().filter(|one| one.state == State::NotInstalled);
    let missing: Vec<_> = missing.map(|one| one.factory.as_str()).collect();
    if !missing.is_empty() {
        checks.push(Check::new(Outcome::Note, "not there", missing.join(", ")));
    }
    if calls == 0 {
        checks.push(Check::new(
            Outcome::Fatal,
            "encoders",
            "there is none for VP8 nor for H.264: install gstreamer1.0-plugins-good",
        ));
    }
    (checks, all)
}

/// Which encoder of a codec will be used.
fn chosen(encoders: &Encoders, codec: Codec, settings: &Settings) -> Check {
    let subject = codec.to_string();
    match encoders.choices(codec, settings) {
        Ok(choices) => {
            let used = choices
                .first()
                .map_or("", |choice| choice.candidate.factory);
            let then: Vec<_> = choices
                .iter()
                .skip(1)
                .map(|choice| choice.candidate.factory)
                .collect();
            let then = if then.is_empty() {
                String::new()
            } else {
                format!(", then {}", then.join(", "))
            };
            Check::new(Outcome::Good, subject, format!("encoded by {used}{then}"))
        }
        Err(error) => {
            let outcome = if CALLS.contains(&codec) {
                Outcome::Bad
            } else {
                Outcome::Note
            };
            Check::new(outcome, subject, error.to_string())
        }
    }
}

/// An encoder that is there.
fn check(standing: &Standing) -> Option<Check> {
    let outcome = match &standing.state {
        State::NotInstalled => return None,
        State::Forbidden | State::NotPinned | State::Unproven => Outcome::Note,
        State::Proven(verdict) if verdict.works() => Outcome::Good,
        State::Proven(_) => Outcome::Bad,
    };
    let finding = standing
        .sentence
        .split_once(": ")
        .map_or("", |(_, finding)| finding);
    Some(Check::new(
        outcome,
        format!("  {}", standing.factory),
        finding,
    ))
}

/// The decoder of a codec: it has read what the encoders made that work.
fn decoder(codec: Codec, standings: &[Standing]) -> Check {
    let is_read = |one: &&Standing| matches!(&one.state, State::Proven(verdict) if verdict.works());
    let Some(decoder) = probe::decoder(codec) else {
        let outcome = if CALLS.contains(&codec) {
            Outcome::Fatal
        } else {
            Outcome::Note
        };
        let names = probe::decoder_names(codec);
        return Check::new(
            outcome,
            format!("  {codec} decoder"),
            format!("not there: {names}"),
        );
    };
    let read: Vec<_> = standings
        .iter()
        .filter(is_read)
        .map(|one| one.factory.as_str())
        .collect();
    let times = standings.iter().filter_map(|one| match &one.state {
        State::Proven(Verdict::Works { decode_us, .. }) => Some(*decode_us),
        _ => None,
    });
    let finding = match times.max() {
        Some(us) => {
            let (whole, tenth) = (us / 1000, us % 1000 / 100);
            format!(
                "reads what {} made, {whole}.{tenth} ms per frame",
                read.join(", ")
            )
        }
        None => "there, not tried".to_owned(),
    };
    Check::new(Outcome::Good, format!("  {decoder}"), finding)
}
