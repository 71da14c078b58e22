//! How hard a software encoder tries: speed and threads from the time that one frame took when it was proven. Pure.

use std::time::Duration;

/// One speed of an encoder.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Speed {
    /// Its name, as the element takes it.
    pub name: &'static str,
    /// What a frame costs, measured against the usual speed.
    pub cost: f64,
}

/// Speeds of an encoder, the best picture first.
#[derive(Debug, Clone, Copy)]
pub struct Speeds {
    /// All of them.
    pub all: &'static [Speed],
    /// The index of the usual one: with it, encoders are proven.
    pub usual: usize,
}

/// What an encoder is set to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Effort {
    /// Threads.
    pub threads: u32,
    /// The speed's name.
    pub speed: &'static str,
}

/// For encoders with a single speed.
pub const ONE_SPEED: Speeds = Speeds {
    all: &[Speed {
        name: "",
        cost: 1.0,
    }],
    usual: 0,
};

/// Of the time between two frames: with less than this, one thread may make a better picture.
const PLENTY: f64 = 0.2;
/// Of the time between two frames, what a frame may take: the rest is for everything else and for hard scenes.
const ENOUGH: f64 = 0.5;

impl Effort {
    /// What encoders are proven with, and what is taken while nothing is known. More threads only for larger pictures
    /// and where cores are free: libvpx's threads spin while they wait for each other, which on two busy cores took
    /// ten times the processor time of one thread.
    pub fn usual(speeds: &Speeds, height: u32, cores: u32) -> Self {
        let useful = if height > 720 { 4 } else { 1 };
        Self {
            threads: (cores / 2).clamp(1, useful),
            speed: speeds.all.get(speeds.usual).map_or("", |speed| speed.name),
        }
    }

    /// The best picture that keeps up: one thread where it has plenty of time, more threads or more speed where not.
    /// `measured` is a frame's time with [`Effort::usual`].
    pub fn for_time(
        speeds: &Speeds,
        usual: Self,
        measured: Duration,
        interval: Duration,
        cores: u32,
    ) -> Self {
        let most = (cores / 2).clamp(1, 4).max(usual.threads);
        let share = measured.as_secs_f64() / interval.as_secs_f64().max(f64::EPSILON);
        // What one thread would need: threads share the work, not quite evenly.
        let alone = share * f64::from(usual.threads);
        for (index, speed) in speeds.all.iter().enumerate() {
            let better_than_usual = index < speeds.usual;
            if better_than_usual {
                if share * speed.cost <= PLENTY {
                    return Self {
                        threads: usual.threads,
                        speed: speed.name,
                    };
                }
                continue;
            }
            let threads = (usual.threads..=most)
                .find(|threads| alone * speed.cost / f64::from(*threads) <= ENOUGH);
            if let Some(threads) = threads {
                return Self {
                    threads,
                    speed: speed.name,
                };
            }
        }
        Self {
            threads: most,
            speed: speeds.all.last().map_or("", |speed| speed.name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPEEDS: Speeds = Speeds {
        all: &[
            Speed {
                name: "good",
                cost: 2.0,
            },
            Speed {
                name: "usual",
                cost: 1.0,
            },
            Speed {
                name: "fast",
                cost: 0.5,
            },
        ],
        usual: 1,
    };

    fn effort(measured_ms: u64, cores: u32) -> (u32, &'static str) {
        let usual = Effort::usual(&SPEEDS, 720, cores);
        let interval = Duration::from_millis(30);
        let measured = Duration::from_millis(measured_ms);
        let effort = Effort::for_time(&SPEEDS, usual, measured, interval, cores);
        (effort.threads, effort.speed)
    }

    #[test]
    fn time_to_spare_goes_into_the_picture() {
        assert_eq!(effort(3, 2), (1, "good"));
        assert_eq!(effort(4, 2), (1, "usual"));
    }

    #[test]
    fn threads_come_before_a_worse_picture_and_both_before_giving_up() {
        assert_eq!(effort(15, 2), (1, "usual"));
        assert_eq!(effort(20, 8), (2, "usual"));
        assert_eq!(effort(20, 2), (1, "fast"));
        assert_eq!(effort(90, 8), (3, "fast"));
        assert_eq!(effort(900, 8), (4, "fast"));
    }

    #[test]
    fn large_pictures_get_threads_where_cores_are_free() {
        assert_eq!(Effort::usual(&SPEEDS, 720, 16).threads, 1);
        assert_eq!(Effort::usual(&SPEEDS, 1080, 16).threads, 4);
        assert_eq!(Effort::usual(&SPEEDS, 1080, 2).threads, 1);
    }
}
