//! The log: lines on standard error or, where those would go to systemd's journal, entries with fields.

use std::fmt::{self, Debug, Write as _};
use std::io::IsTerminal;
use std::sync::OnceLock;

use libsystemd::errors::SdError;
use libsystemd::logging::{Priority, connected_to_journal, journal_send};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::field::RecordFields;
use tracing_subscriber::fmt::FormatFields;
use tracing_subscriber::fmt::format::{DefaultFields, Writer};
use tracing_subscriber::layer::{Context, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer};

use crate::signalling::ids::{JobId, RoomName};

/// Ours among the fields of an entry are told from systemd's and from those of other programs by it.
const PREFIX: &str = "ATTACHE_";

/// What each entry of this process is about, once that is known.
static ABOUT: OnceLock<Fields> = OnceLock::new();

/// Starts the log of this process. `RUST_LOG` says what is in it; without, everything from `info` on is.
pub fn start() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let registry = tracing_subscriber::registry().with(filter);
    if connected_to_journal() {
        registry.with(Journal { send }).init();
    } else {
        let lines = tracing_subscriber::fmt::layer()
            .with_writer(std::io::stderr)
            .with_ansi(std::io::stderr().is_terminal());
        registry.with(lines).init();
    }
}

/// From now on each entry in the journal says that it is about this job in this room. Counts once: a process has one job.
pub fn is_about(job: &JobId, room: &RoomName) {
    let fields = [("job", job.to_string()), ("room", room.to_string())];
    let _ = ABOUT.set(Fields(fields.into()));
}

/// What is to be in the journal.
#[derive(Debug)]
struct Entry {
    priority: Priority,
    /// What would be a line on standard error, but for time and level.
    message: String,
    /// Names as the journal wants them.
    fields: Vec<(String, String)>,
}

fn send(entry: Entry) {
    let sent: Result<(), SdError> =
        journal_send(entry.priority, &entry.message, entry.fields.into_iter());
    if let Err(error) = sent {
        // Standard error goes to the journal as well, by another way.
        eprintln!("{} ({error})", entry.message);
    }
}

/// Makes entries of events and hands them over.
struct Journal<Send> {
    send: Send,
}

impl<S, Send> Layer<S> for Journal<Send>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    Send: Fn(Entry) + 'static,
{
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        if let Some(span) = context.span(id) {
            span.extensions_mut().insert(Fields::of(attributes));
        }
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        let Some(span) = context.span(id) else {
            return;
        };
        if let Some(fields) = span.extensions_mut().get_mut::<Fields>() {
            values.record(fields);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut message = String::new();
        let mut fields = Fields::default();
        for span in context
            .event_scope(event)
            .into_iter()
            .flat_map(|scope| scope.from_root())
        {
            if let Some(of_span) = span.extensions().get::<Fields>() {
                // Writing to a string cannot fail.
                let _ = write!(message, "{}{{{of_span}}}: ", span.name());
                fields.0.extend(of_span.0.iter().cloned());
            }
        }
        let _ = DefaultFields::new().format_fields(Writer::new(&mut message), event);
        event.record(&mut fields);
        fields.add_missing(ABOUT.get());
        (self.send)(Entry {
            priority: priority(*event.metadata().level()),
            message,
            fields: fields.for_journal(event),
        });
    }
}

fn priority(level: Level) -> Priority {
    match level {
        Level::ERROR => Priority::Error,
        Level::WARN => Priority::Warning,
        Level::INFO => Priority::Info,
        Level::DEBUG | Level::TRACE => Priority::Debug,
    }
}

/// What an event or a span says besides its words: names and values.
#[derive(Debug, Clone, Default)]
struct Fields(Vec<(&'static str, String)>);

impl Fields {
    fn of(recorded: impl RecordFields) -> Self {
        let mut fields = Self::default();
        recorded.record(&mut fields);
        fields
    }

    /// Takes over those of which it has none by that name.
    fn add_missing(&mut self, more: Option<&Self>) {
        for (name, value) in more.into_iter().flat_map(|more| &more.0) {
            if !self.0.iter().any(|(known, _)| known == name) {
                self.0.push((name, value.clone()));
            }
        }
    }

    /// With what the journal knows by names of its own (systemd.journal-fields(7)).
    fn for_journal(self, event: &Event<'_>) -> Vec<(String, String)> {
        let metadata = event.metadata();
        let known = [
            ("SYSLOG_IDENTIFIER", Some("attache".to_owned())),
            ("CODE_FILE", metadata.file().map(str::to_owned)),
            ("CODE_LINE", metadata.line().map(|line| line.to_string())),
        ];
        let known = known
            .into_iter()
            .filter_map(|(name, value)| Some((name.to_owned(), value?)));
        let ours = self
            .0
            .into_iter()
            .map(|(name, value)| (journal_name(name), value));
        known.chain(ours).collect()
    }
}

/// `room` becomes `ATTACHE_ROOM`.
fn journal_name(name: &str) -> String {
    let as_allowed = |letter: char| match letter.is_ascii_alphanumeric() {
        true => letter.to_ascii_uppercase(),
        false => '_',
    };
    PREFIX.chars().chain(name.chars().map(as_allowed)).collect()
}

impl fmt::Display for Fields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, (name, value)) in self.0.iter().enumerate() {
            let space = if number == 0 { "" } else { " " };
            write!(f, "{space}{name}={value}")?;
        }
        Ok(())
    }
}

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.record_debug(field, &format_args!("{value}"));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        // The words are the entry's message; what crates that use `log` say of themselves is not about calls.
        if field.name() != "message" && !field.name().starts_with("log.") {
            self.0.push((field.name(), format!("{value:?}")));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use tracing::{info, info_span, warn};

    use super::*;

    fn entries(happens: impl FnOnce()) -> Vec<Entry> {
        let entries = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&entries);
        let send = move |entry| kept.lock().unwrap().push(entry);
        let subscriber = tracing_subscriber::registry().with(Journal { send });
        tracing::subscriber::with_default(subscriber, happens);
        Arc::try_unwrap(entries).unwrap().into_inner().unwrap()
    }

    fn field<'a>(entry: &'a Entry, name: &str) -> Option<&'a str> {
        let found = entry.fields.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }

    #[test]
    fn an_entry_has_the_fields_of_its_event_and_of_the_spans_around_it() {
        let entries = entries(|| {
            let span = info_span!("job", job = %"j1", room = tracing::field::Empty);
            span.record("room", "lobby");
            span.in_scope(|| warn!(participant = %"p1", delay_ms = 40, "comes back"));
            info!("outside");
        });
        let [inside, outside] = &entries[..] else {
            panic!("{entries:?}");
        };
        assert!(matches!(inside.priority, Priority::Warning));
        assert_eq!(
            inside.message,
            "job{job=j1 room=lobby}: comes back participant=p1 delay_ms=40"
        );
        for (name, value) in [
            ("ATTACHE_JOB", "j1"),
            ("ATTACHE_ROOM", "lobby"),
            ("ATTACHE_PARTICIPANT", "p1"),
            ("ATTACHE_DELAY_MS", "40"),
            ("SYSLOG_IDENTIFIER", "attache"),
            ("CODE_FILE", file!()),
        ] {
            assert_eq!(field(inside, name), Some(value), "{name}");
        }
        assert!(matches!(outside.priority, Priority::Info));
        assert_eq!(outside.message, "outside");
        assert_eq!(field(outside, "ATTACHE_ROOM"), None);
    }

    #[test]
    fn names_are_as_the_journal_takes_them() {
        assert_eq!(journal_name("delay_ms"), "ATTACHE_DELAY_MS");
        assert_eq!(journal_name("ice.pair-é"), "ATTACHE_ICE_PAIR__");
    }
}
