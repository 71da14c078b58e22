//! Flows over one link, and what was seen of them.

use std::collections::VecDeque;
use std::time::Duration;

use attache_congestion::Rate;

use crate::link::{Link, Nature};
use crate::media::{Character, Media};
use crate::tcp::Tcp;

/// How finely time passes.
const TICK: Duration = Duration::from_micros(250);
/// What was seen is kept for each of these.
const SLOT: Duration = Duration::from_millis(20);

/// What was seen in a slot of time.
#[derive(Debug, Clone)]
pub struct Seen {
    pub at: Duration,
    /// The rate of each media flow.
    pub target: Vec<Rate>,
    /// What arrived of each flow, on the link; TCP's is the last.
    pub bytes: Vec<usize>,
    pub queue: Duration,
}

pub struct World {
    link: Link,
    media: Vec<Media>,
    tcp: Option<Tcp>,
    /// TCP's acknowledgements on their way back.
    acknowledgements: VecDeque<(Duration, u64)>,
    pub seen: Vec<Seen>,
}

impl World {
    pub fn new(nature: Nature, flows: Vec<Character>) -> Self {
        let flows = flows.into_iter().enumerate();
        Self {
            link: Link::new(nature),
            media: flows
                .map(|(number, character)| Media::new(number, character))
                .collect(),
            tcp: None,
            acknowledgements: VecDeque::new(),
            seen: Vec::new(),
        }
    }

    /// A TCP flow comes, too.
    pub fn with_tcp(mut self, begins: Duration) -> Self {
        self.tcp = Some(Tcp::new(self.media.len(), begins));
        self
    }

    pub fn run(mut self, until: Duration) -> Self {
        let mut now = Duration::ZERO;
        while now < until {
            self.tick(now);
            now += TICK;
        }
        self
    }

    fn tick(&mut self, now: Duration) {
        for media in &mut self.media {
            media.run(&mut self.link, now);
        }
        if let Some(tcp) = &mut self.tcp {
            while self
                .acknowledgements
                .front()
                .is_some_and(|(at, _)| *at <= now)
            {
                let (_, sequence) = self.acknowledgements.pop_front().unwrap();
                tcp.on_acknowledged(sequence);
            }
            while let Some(parcel) = tcp.packet(now) {
                self.link.push(parcel, now);
            }
        }
        if self.seen.last().is_none_or(|seen| now >= seen.at + SLOT) {
            self.seen.push(Seen {
                at: now,
                target: self
                    .media
                    .iter()
                    .map(|media| media.status().target)
                    .collect(),
                bytes: vec![0; self.media.len() + 1],
                queue: Duration::ZERO,
            });
        }
        let seen = self.seen.last_mut().unwrap();
        seen.queue = seen.queue.max(self.link.delay(now));
        for (at, parcel) in self.link.arrivals(now) {
            seen.bytes[parcel.flow] += parcel.bytes;
            match self.media.get_mut(parcel.flow) {
                Some(media) => media.arrive(parcel, at),
                None => {
                    let back = at + self.link.propagation();
                    self.acknowledgements.push_back((back, parcel.sequence));
                }
            }
        }
        for media in &mut self.media {
            media.report(self.link.propagation(), now);
        }
    }

    fn between(&self, from: Duration, until: Duration) -> impl Iterator<Item = &Seen> {
        self.seen
            .iter()
            .filter(move |seen| (from..until).contains(&seen.at))
    }

    /// What arrived of a flow in a time, as a rate on the link.
    pub fn rate(&self, flow: usize, from: Duration, until: Duration) -> Rate {
        let bytes: usize = self.between(from, until).map(|seen| seen.bytes[flow]).sum();
        Rate::of(bytes as f64, until - from).unwrap()
    }

    /// The longest queue in a time.
    pub fn peak(&self, from: Duration, until: Duration) -> Duration {
        self.between(from, until)
            .map(|seen| seen.queue)
            .max()
            .unwrap()
    }

    /// The queue that 95 of 100 moments do not exceed.
    pub fn queue_p95(&self, from: Duration, until: Duration) -> Duration {
        let mut queues: Vec<_> = self.between(from, until).map(|seen| seen.queue).collect();
        queues.sort();
        queues[queues.len() * 95 / 100]
    }

    /// How long after a time a flow's rate, over 400 ms, first satisfied something.
    pub fn time_to(
        &self,
        flow: usize,
        from: Duration,
        is: impl Fn(Rate) -> bool,
    ) -> Option<Duration> {
        const OVER: Duration = Duration::from_millis(400);
        let ends = self.between(from, Duration::MAX).map(|seen| seen.at);
        let mut ends = ends.skip_while(|at| *at < from + OVER);
        ends.find(|at| is(self.rate(flow, *at - OVER, *at)))
            .map(|at| at - from)
    }

    /// A line for each tenth of a second, for whoever looks at a run.
    pub fn table(&self) -> String {
        let rows = self.seen.chunks(5).map(|slots| {
            let targets: Vec<_> = slots[0]
                .target
                .iter()
                .map(|rate| rate.kilobits().round())
                .collect();
            let rates: Vec<_> = (0..slots[0].bytes.len())
                .map(|flow| slots.iter().map(|slot| slot.bytes[flow]).sum::<usize>() as f64 * 0.08)
                .map(f64::round)
                .collect();
            let queue = slots.iter().map(|slot| slot.queue).max().unwrap();
            format!(
                "{:6.1} target {targets:?} arrives {rates:?} queue {} ms\n",
                slots[0].at.as_secs_f64(),
                queue.as_millis()
            )
        });
        rows.collect()
    }
}
