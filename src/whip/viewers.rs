//! Players: who watches by WHEP, and the sessions of all of them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::mpsc;

use crate::signalling::ids::{ParticipantId, RoomName, SessionId};
use crate::signalling::protocol::{ErrorCode, Kind, Participant, Sends};
use crate::signalling::room::{Join, Refusal};
use crate::signalling::{Hub, Visit, sends_media};

use super::session::{Command, Session};
use super::{Begun, SessionError, sdp};

/// What viewers are called in their room when their token names nobody.
const NAME: &str = "Player";

/// All players' sessions; clones are the same.
#[derive(Debug, Clone)]
pub struct Viewers {
    hub: Hub,
    sessions: Arc<Mutex<HashMap<SessionId, Handle>>>,
}

#[derive(Debug)]
struct Handle {
    offer: String,
    commands: mpsc::Sender<Command>,
}

impl Viewers {
    /// No sessions yet.
    pub fn new(hub: Hub) -> Self {
        Self {
            hub,
            sessions: Arc::default(),
        }
    }

    /// Lets a player into the room and waits for the answer of the participant it wants to watch, or, where it names
    /// none, of the first kiosk that sends, else of the first participant that does.
    ///
    /// # Errors
    /// [`SessionError`]; nobody is in the room then.
    pub async fn begin(
        &self,
        room: &RoomName,
        wanted: Option<&ParticipantId>,
        token: Option<&str>,
        offer: String,
    ) -> Result<Begun, SessionError> {
        let grants = self.hub.grants(room, token)?;
        if !grants.join {
            let why = "the token does not allow to join this room";
            return Err(Refusal::new(ErrorCode::Forbidden, why).into());
        }
        check(&offer)?;
        let participant = self.choose(room, wanted)?.id;
        let join = Join {
            room: room.clone(),
            kind: Kind::Viewer,
            name: grants.identity.is_none().then(|| NAME.to_owned()),
            sends: Sends::default(),
            recording: false,
            recordable: true,
            enhances: None,
            grants,
        };
        let visit = Visit::begin(&self.hub, join, token)?;
        let mut session = Session::new(visit, participant.clone());
        let (answer, ice) = session.negotiate(offer.clone()).await?;

        let id = SessionId::random();
        let (commands, orders) = mpsc::channel(16);
        self.sessions()
            .insert(id.clone(), Handle { offer, commands });
        let (sessions, ended) = (self.clone(), id.clone());
        tokio::spawn(async move {
            session.run(orders).await;
            sessions.sessions().remove(&ended);
        });
        Ok(Begun {
            session: id,
            place: participant.into(),
            answer,
            ice,
        })
    }

    /// Passes the player's candidates on.
    ///
    /// # Errors
    /// [`SessionError::NoSession`] and [`SessionError::Fragment`].
    pub async fn trickle(&self, session: &SessionId, fragment: &str) -> Result<(), SessionError> {
        let (candidates, commands) = {
            let sessions = self.sessions();
            let handle = sessions.get(session).ok_or(SessionError::NoSession)?;
            let candidates = sdp::trickled(fragment, &handle.offer)?;
            (candidates, handle.commands.clone())
        };
        let sent = commands.send(Command::Trickle(candidates)).await;
        sent.map_err(|_| SessionError::NoSession)
    }

    /// Ends a session.
    ///
    /// # Errors
    /// [`SessionError::NoSession`].
    pub fn end(&self, session: &SessionId) -> Result<(), SessionError> {
        // Without its handle the session hears that nobody commands it any more.
        let handle = self.sessions().remove(session);
        handle.map(drop).ok_or(SessionError::NoSession)
    }

    fn choose(
        &self,
        room: &RoomName,
        wanted: Option<&ParticipantId>,
    ) -> Result<Participant, SessionError> {
        let Some(wanted) = wanted else {
            let sends = |one: &Participant| one.sends.audio || one.sends.video;
            let kiosk = |one: &Participant| one.kind == Kind::Kiosk && sends(one);
            let first = self.hub.find(room, kiosk);
            let first = first.or_else(|| self.hub.find(room, sends));
            return first.ok_or_else(|| {
                SessionError::Nobody(format!("nobody in the room {room} sends anything now"))
            });
        };
        let is_it = |one: &Participant| one.id == *wanted && one.kind != Kind::Viewer;
        self.hub.find(room, is_it).ok_or_else(|| {
            SessionError::Nobody(format!(
                "nobody in the room {room} has the id {wanted}; without an id the first who sends is shown"
            ))
        })
    }

    fn sessions(&self) -> MutexGuard<'_, HashMap<SessionId, Handle>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether this can be an offer of a player.
fn check(offer: &str) -> Result<(), SessionError> {
    match sends_media(super::description(offer)?) {
        false => Ok(()),
        true => Err(SessionError::Offer(
            "the offer promises to send media; a player offers every m-section as `recvonly`",
        )),
    }
}
