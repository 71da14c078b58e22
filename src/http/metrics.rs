//! `/metrics`: the server's counters for Prometheus, in the OpenMetrics text format.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, text};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;

use super::App;
use super::health::readiness;
use crate::admission::Cost;
use crate::filter::report::FilterReport;
use crate::job::{JobState, PeerState};
use crate::media::devices::DeviceKind;
use crate::quality::Quality;
use crate::supervisor::JobView;

const CONTENT: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Shows the metrics; like the API, behind the API token where there is one.
pub async fn metrics(State(app): State<App>) -> Response {
    let mut registry = Registry::with_prefix("attache");
    registry.register_collector(Box::new(Snapshot(app)));
    let mut body = String::new();
    match text::encode(&mut body, &registry) {
        Ok(()) => ([(CONTENT_TYPE, CONTENT)], body).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

/// Reads the state when it is asked for.
#[derive(Debug)]
struct Snapshot(App);

impl Collector for Snapshot {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        self.ready(&mut encoder)?;
        self.rooms(&mut encoder)?;
        self.jobs(&mut encoder)?;
        self.devices(&mut encoder)?;
        self.peers(&mut encoder)?;
        self.filters(&mut encoder)?;
        self.recordings(&mut encoder)?;
        self.load(&mut encoder)?;
        self.descriptions(&mut encoder)?;
        self.uploads(&mut encoder)?;
        self.webhooks(&mut encoder)
    }
}

impl Snapshot {
    fn ready(&self, encoder: &mut DescriptorEncoder<'_>) -> std::fmt::Result {
        let checks = readiness(&self.0).checks.into_iter();
        let checks = checks.map(|looked| {
            let label = [("check", looked.check.name().to_owned())];
            (label, i64::from(looked.ready))
        });
        let help = "Whether a call can be carried, by what was looked at; /readyz says why not";
        gauges(encoder, "ready", help, checks)
    }

    fn rooms(&self, encoder: &mut DescriptorEncoder<'_>) -> std::fmt::Result {
        let rooms = self.0.hub.snapshot();
        let participants: usize = rooms.iter().map(|room| room.participants.len()).sum();
        gauge(encoder, "rooms", "Rooms that somebody is in", rooms.len())?;
        gauge(
            encoder,
            "participants",
            "Participants in all rooms",
            participants,
        )
    }

    fn jobs(&self, encoder: &mut DescriptorEncoder<'_>) -> std::fmt::Result {
        let mut by_state: BTreeMap<&str, usize> = BTreeMap::new();
        let mut by_encoder: BTreeMap<(String, String), usize> = BTreeMap::new();
        let mut restarts = 0;
        for job in self.0.supervisor.list() {
            *by_state.entry(name_of(job.state)).or_default() += 1;
            restarts += u64::from(job.restarts);
            for used in job.encoders {
                *by_encoder.entry((used.codec, used.encoder)).or_default() += 1;
            }
        }
        let jobs = by_state.into_iter();
        let jobs = jobs.map(|(state, count)| ([("state", state.to_owned())], whole(count)));
        gauges(
            encoder,
            "jobs",
            "Jobs by state, those that ended lately included",
            jobs,
        )?;
        let encoders = by_encoder.into_iter().map(|((codec, encoder), count)| {
            ([("codec", codec), ("encoder", encoder)], whole(count))
        });
        gauges(
            encoder,
            "encoders",
            "Encoders at work, by codec and element",
            encoders,
        )?;
        let restarted = ConstCounter::new(restarts);
        let help = "Starts of workers after a crash, of the jobs that are listed";
        let encoder =
            encoder.encode_descriptor("job_restarts", help, None, restarted.metric_type())?;
        restarted.encode(encoder)
    }

    fn devices(&self, encoder: &mut DescriptorEncoder<'_>) -> std::fmt::Result {
        let jobs = self.0.supervisor.list();
        let lost = DeviceKind::ALL.map(|device| {
            let lost = jobs.iter().flat_map(|job| &job.lost);
            let count = lost.filter(|lost| lost.device == device).count();
            ([("device", device.name().to_owned())], whole(count))
        });
        let help = "Devices that jobs have lost and that are not back, by what they are for";
        gauges(encoder, "devices_lost", help, lost.into_iter())?;
        let help = "Times that jobs lost a device, of the jobs that are listed";
        let kind = ConstCounter::<u64>::new(0).metric_type();
        let mut losses = encoder.encode_descriptor("device_losses", help, None, kind)?;
        for device in DeviceKind::ALL {
            let count = jobs.iter().filter_map(|job| job.losses.get(&device)).sum();
            let labels = [("device", device.name().to_owned())];
            ConstCounter::<u64>::new(count).encode(losses.encode_family(&labels)?)?;
        }
        Ok(())
    }

    /// Of each job the sum of its peers, or the worst of them: labels stay as few as there are jobs.
    fn peers(&self, encoder: &mut DescriptorEncoder<'_>) -> std::fmt::Result {
        let jobs = self.0.supervisor.list();
        let jobs: Vec<&JobView> = jobs.iter().filter(|job| !job.ended()).collect();
        let connected = jobs.iter().map(|job| {
            let peers = job.peers.iter();
            let connected = peers.filter(|peer| peer.state == PeerState::Connected);
            (of_job(job), whole(connected.count()))
        });
        gauges(encoder, "peers", "Connected peers of a job", connected)?;
        let help = "Times that a peer did not serve any more and the next was made, of the jobs that are listed";
        let kind = ConstCounter::<u64>::new(0).metric_type();
        let mut stalls = encoder.encode_descriptor("peer_stalls", help, None, kind)?;
        for job in &jobs {
            for (reason, count) in &job.stalls {
                let [id, role] = of_job(job);
                let labels = [id, role, ("reason", reason.name().to_owned())];
                ConstCounter::new(*count).encode(stalls.encode_family(&labels)?)?;
            }
        }
        tiers(encoder, &jobs)?;
        for (name, help, of) in PEER_GAUGES {
            let kind = ConstGauge::<f64>::new(0.0).metric_type();
            let mut family = encoder.encode_descriptor(name, help, None, kind)?;
            for job in &jobs {
                let qualities = job.peers.iter().filter_map(|peer| peer.quality.as_ref());
                if let Some(value) = of(&mut qualities.into_iter()) {
                    let labels = of_job(job);
                    let metric = family.encode_family(&labels)?;
                    ConstGauge::new(value).encode(metric)?;
                }
            }
        }
        Ok(())
    }

    /// Of each job the sum of its filters of sound, or the worst of them.
    fn filters(&self, encoder: &mut DescriptorEncoder<'_>) -> std::fmt::Result {
        let jobs = self.0.supervisor.list();
        let jobs: Vec<&JobView> = jobs.iter().filter(|job| !job.filters.is_empty()).collect();
        let kind = ConstCounter::<u64>::new(0).metric_type();
        let help = "Frames of 10 ms that a job's noise suppression has had";
        let mut frames = encoder.encode_descriptor("filter_frames", help, None, kind)?;
        for job in &jobs {
            let count = job.filters.iter().map(|filter| filter.report.frames).sum();
            let labels = of_job(job);
            ConstCounter::<u64>::new(count).encode(frames.encode_family(&labels)?)?;
        }
        for (name, help, of) in FILTER_GAUGES {
            let kind = ConstGauge::<f64>::new(0.0).metric_type();
            let mut family = encoder.encode_descriptor(name, help, None, kind)?;
            for job in &jobs {
                let reports = job.filters.iter().map(|filter| &filter.report);
                let labels = of_job(job);
                ConstGauge::new(of(&mut reports.into_iter()))
                    .encode(family.encode_family(&labels)?)?;
            }
        }
        Ok(())
    }

    fn recordings(&self, encoder: &mut DescriptorEncoder<'_>) -> std::fmt::Result {
        let recovered = ConstCounter::new(self.0.recovered.load(Ordering::Relaxed));
        let help = "Recordings of killed recorders that were finished since the start";
        let kind = recovered.metric_type();
        let encoder = encoder.encode_descriptor("recordings_recovered", help, None, kind)?;
        recovered.encode(encoder)
    }

    fn load(&self, encoder: &mut DescriptorEncoder<'_>) -> std::fmt::Result {
        let load = self.0.supervisor.load();
        for (name, help, of) in [
            (
                "admission_cores",
                "Processor cores that the jobs at work have reserved, and those that they may",
                (|cost: Cost| cost.cores) as fn(Cost) -> f64,
            ),
            (
                "admission_memory_megabytes",
                "Memory that the jobs at work have reserved, and what they may",
                |cost| cost.memory_mb,
            ),
        ] {
            let kind = ConstGauge::<f64>::new(0.0).metric_type();
            let mut encoder = encoder.encode_descriptor(name, help, None, kind)?;
            for (what, cost) in [("used", Some(load.used)), ("limit", load.limit)] {
                if let Some(cost) = cost {
                    let labels = [("what", what)];
                    let metric = encoder.encode_family(&labels)?;
                    ConstGauge::new(of(cost)).encode(metric)?;
                }
            }
        }
        Ok(())
    }

    fn descriptions(&self, encoder: &mut DescriptorEncoder<'_>) -> std::fmt::Result {
        let views = self.0.descriptions.list();
        let valid = views.iter();
        let valid = valid.map(|view| ([("description", view.name.clone())], i64::from(view.valid)));
        let help = "Whether the description's file, as it is now, can be used";
        gauges(encoder, "description_valid", help, valid)?;
        let counts = views.iter().flat_map(|view| {
            let label = |result: &str| {
                [
                    ("description", view.name.clone()),
                    ("result", result.to_owned()),
                ]
            };
            [
                (label("moved"), view.reloads),
                (label("refused"), view.refused),
            ]
        });
        let kind = ConstCounter::<u64>::new(0).metric_type();
        let help = "Jobs that moved to a changed description, and changes that were refused";
        let mut encoder = encoder.encode_descriptor("description_reloads", help, None, kind)?;
        for (labels, count) in counts {
            let metric = encoder.encode_family(&labels)?;
            ConstCounter::new(count).encode(metric)?;
        }
        Ok(())
    }
}

impl Snapshot {
    fn webhooks(&self, encoder: &mut DescriptorEncoder<'_>) -> std::fmt::Result {
        let counts = self.0.webhooks.read();
        let kind = ConstCounter::<u64>::new(0).metric_type();
        let help = "Webhooks that were taken, tries that failed, and webhooks that were given up";
        let mut results = encoder.encode_descriptor("webhooks", help, None, kind)?;
        for (result, count) in [
            ("delivered", counts.delivered),
            ("failed", counts.failed),
            ("dropped", counts.dropped),
        ] {
            let labels = [("result", result)];
            ConstCounter::new(count).encode(results.encode_family(&labels)?)?;
        }
        Ok(())
    }

    fn uploads(&self, encoder: &mut DescriptorEncoder<'_>) -> std::fmt::Result {
        let counts = self.0.uploads.counts();
        let kind = ConstCounter::<u64>::new(0).metric_type();
        let help = "Recordings that were uploaded, and times that no target took one";
        let mut results = encoder.encode_descriptor("uploads", help, None, kind)?;
        for (result, count) in [("uploaded", counts.uploaded), ("failed", counts.failed)] {
            let labels = [("result", result)];
            let metric = results.encode_family(&labels)?;
            ConstCounter::new(count).encode(metric)?;
        }
        let help = "Bytes of recordings that were uploaded";
        let bytes = ConstCounter::new(counts.bytes);
        let encoder = encoder.encode_descriptor("upload_bytes", help, None, kind)?;
        bytes.encode(encoder)
    }
}

type Qualities<'a> = dyn Iterator<Item = &'a Quality> + 'a;

/// Name, help, and how the qualities of a job's peers become one value.
type PeerGauge = (
    &'static str,
    &'static str,
    fn(&mut Qualities<'_>) -> Option<f64>,
);

const PEER_GAUGES: [PeerGauge; 8] = [
    (
        "peer_round_trip_seconds",
        "Time to the other side and back, of a job's slowest peer",
        |peers| {
            let times = peers.filter_map(|peer| peer.round_trip_ms);
            times.reduce(f64::max).map(|time| time / 1000.0)
        },
    ),
    (
        "peer_loss_ratio",
        "Packets that are lost, of a job's worst track in either direction",
        |peers| {
            let tracks = peers.flat_map(|peer| peer.sent.all().chain(peer.received.all()));
            tracks.map(|track| track.loss).reduce(f64::max)
        },
    ),
    (
        "peer_jitter_seconds",
        "How unevenly packets arrive, of a job's worst received track",
        |peers| {
            let tracks = peers.flat_map(|peer| peer.received.all());
            tracks
                .map(|track| track.jitter_ms / 1000.0)
                .reduce(f64::max)
        },
    ),
    (
        "peer_estimate_bits_per_second",
        "What the way to a job's peer carries, as it is estimated, of the narrowest",
        |peers| {
            let estimates = peers.filter_map(|peer| peer.estimate_kbps);
            estimates.reduce(f64::min).map(|estimate| estimate * 1000.0)
        },
    ),
    (
        "peer_queue_seconds",
        "How long packets wait on the way to a job's peer, of the fullest",
        |peers| {
            let queues = peers.filter_map(|peer| peer.queue_ms);
            queues.reduce(f64::max).map(|queue| queue / 1000.0)
        },
    ),
    (
        "peer_sent_bits_per_second",
        "Payload that a job sends to all of its peers",
        |peers| {
            let tracks = peers.flat_map(|peer| peer.sent.all());
            tracks.map(|track| track.kbps * 1000.0).reduce(|a, b| a + b)
        },
    ),
    (
        "peer_received_bits_per_second",
        "Payload that a job receives from all of its peers",
        |peers| {
            let tracks = peers.flat_map(|peer| peer.received.all());
            tracks.map(|track| track.kbps * 1000.0).reduce(|a, b| a + b)
        },
    ),
    (
        "peer_score",
        "How good a conversation is by ITU-T G.107, from 1 to 5, of a job's worst peer",
        |peers| peers.filter_map(|peer| peer.score).reduce(f64::min),
    ),
];

type Reports<'a> = dyn Iterator<Item = &'a FilterReport> + 'a;

/// Name, help, and how the reports of a job's filters become one value.
type FilterGauge = (&'static str, &'static str, fn(&mut Reports<'_>) -> f64);

const FILTER_GAUGES: [FilterGauge; 5] = [
    (
        "filter_frame_seconds",
        "What 99 % of the frames of a job's slowest noise suppression do not exceed",
        |reports| {
            reports
                .map(|report| report.p99_us as f64 / 1e6)
                .fold(0.0, f64::max)
        },
    ),
    (
        "filter_load_ratio",
        "Processing time over the sound's time, of all of a job's noise suppression together",
        |reports| reports.map(|report| report.load).sum(),
    ),
    (
        "filter_suppression_decibels",
        "By how much a job's noise suppression made sound less loud lately, at the most",
        |reports| {
            reports
                .map(|report| report.suppression_db)
                .fold(0.0, f64::max)
        },
    ),
    (
        "filter_voice_ratio",
        "Probability that somebody spoke lately whose noise a job suppresses",
        |reports| reports.map(|report| report.voice).fold(0.0, f64::max),
    ),
    (
        "filter_bypassed",
        "How many of a job's noise suppressions let the sound out as it came in",
        |reports| reports.filter(|report| report.bypassed).count() as f64,
    ),
];

fn of_job(job: &JobView) -> [(&'static str, String); 2] {
    [
        ("job", job.id.to_string()),
        ("role", job.spec.role.to_string()),
    ]
}

fn gauge(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    value: usize,
) -> std::fmt::Result {
    let value = ConstGauge::new(whole(value));
    let encoder = encoder.encode_descriptor(name, help, None, value.metric_type())?;
    value.encode(encoder)
}

/// Which tiers the peers are sent, and how often that changed.
fn tiers(encoder: &mut DescriptorEncoder<'_>, jobs: &[&JobView]) -> std::fmt::Result {
    let mut tiers = Vec::new();
    let mut changes = Vec::new();
    for job in jobs {
        let mut by_tier: BTreeMap<&String, usize> = BTreeMap::new();
        for tier in job.peers.iter().filter_map(|peer| peer.tier.as_ref()) {
            *by_tier.entry(tier).or_default() += 1;
        }
        let [id, role] = of_job(job);
        for (tier, count) in by_tier {
            tiers.push((
                [id.clone(), role.clone(), ("tier", tier.clone())],
                whole(count),
            ));
        }
        changes.push((of_job(job), job.tier_changes));
    }
    let help = "Peers of a job by the tier of the picture that they are sent; none: their links carry sound only";
    gauges(encoder, "peers_by_tier", help, tiers.into_iter())?;
    let help = "Times that peers of a job were given another tier";
    let kind = ConstCounter::<u64>::new(0).metric_type();
    let mut family = encoder.encode_descriptor("peer_tier_changes", help, None, kind)?;
    for (labels, count) in changes {
        ConstCounter::new(count).encode(family.encode_family(&labels)?)?;
    }
    Ok(())
}

fn gauges<const N: usize>(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    values: impl Iterator<Item = ([(&'static str, String); N], i64)>,
) -> std::fmt::Result {
    let kind = ConstGauge::<i64>::new(0).metric_type();
    let mut encoder = encoder.encode_descriptor(name, help, None, kind)?;
    for (labels, value) in values {
        let metric = encoder.encode_family(&labels)?;
        ConstGauge::new(value).encode(metric)?;
    }
    Ok(())
}

fn whole(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// As the API writes it.
fn name_of(state: JobState) -> &'static str {
    match state {
        JobState::Starting => "starting",
        JobState::Joined => "joined",
        JobState::Reconnecting => "reconnecting",
        JobState::Stopping => "stopping",
        JobState::Stopped => "stopped",
        JobState::Restarting => "restarting",
        JobState::Failed => "failed",
    }
}
