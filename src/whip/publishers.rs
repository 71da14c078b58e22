//! Publishers: who sends into a room by WHIP, and the relays that work for them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::{sleep, timeout};

use super::{Begun, SessionError, sdp};
use crate::job::{Answer, JobSpec, Parameters, Request, Role};
use crate::signalling::ids::{JobId, ParticipantId, RoomName, SessionId};
use crate::signalling::protocol::ErrorCode;
use crate::signalling::room::Refusal;
use crate::signalling::{Hub, sends_media};
use crate::supervisor::{JobView, RequestError, Supervisor};

/// What publishers are called in their room when their token names nobody.
const NAME: &str = "Publisher";
/// For a worker to start and to answer.
const ANSWER: Duration = Duration::from_secs(20);
/// How often a worker that is not there yet is asked again.
const AGAIN: Duration = Duration::from_millis(20);

/// All publishers' sessions; clones are the same.
#[derive(Debug, Clone)]
pub struct Publishers {
    hub: Hub,
    supervisor: Supervisor,
    sessions: Arc<Mutex<HashMap<SessionId, Publisher>>>,
}

#[derive(Debug, Clone)]
struct Publisher {
    offer: String,
    job: JobId,
}

impl Publishers {
    /// No sessions yet.
    pub fn new(hub: Hub, supervisor: Supervisor) -> Self {
        Self {
            hub,
            supervisor,
            sessions: Arc::default(),
        }
    }

    /// Starts a relay in the room and has it answer the publisher.
    ///
    /// # Errors
    /// [`SessionError`]; no relay is left then.
    pub async fn begin(
        &self,
        room: &RoomName,
        token: Option<&str>,
        offer: String,
    ) -> Result<Begun, SessionError> {
        let name = self.name(room, token)?;
        check(&offer)?;
        let spec = JobSpec {
            memory_limit_mb: None,
            role: Role::Relay,
            room: room.clone(),
            description: None,
            parameters: Parameters::new(),
            name: Some(name),
            of: None,
            remote: None,
        };
        let present = self.hub.present(room);
        let job = self.supervisor.start_if_room(spec, present)?.id;
        let ice = self.hub.ice(&ParticipantId::random());
        let request = Request::Receive {
            offer: offer.clone(),
            ice: ice.clone(),
        };
        let answer = match self.ask(&job, request).await {
            Ok(answer) => answer,
            Err(why) => {
                self.supervisor.stop(&job);
                return Err(SessionError::NoRelay(why));
            }
        };
        let session = SessionId::random();
        let publisher = Publisher {
            offer,
            job: job.clone(),
        };
        self.sessions().insert(session.clone(), publisher);
        tokio::spawn(self.clone().forget(session.clone(), job.clone()));
        Ok(Begun {
            session,
            place: job.into(),
            answer,
            ice,
        })
    }

    /// Passes the publisher's candidates on.
    ///
    /// # Errors
    /// [`SessionError::NoSession`] and [`SessionError::Fragment`].
    pub async fn trickle(&self, session: &SessionId, fragment: &str) -> Result<(), SessionError> {
        let publisher = self.sessions().get(session).cloned();
        let publisher = publisher.ok_or(SessionError::NoSession)?;
        let candidates = sdp::trickled(fragment, &publisher.offer)?;
        let request = Request::Trickle { candidates };
        let answered = self.supervisor.request(&publisher.job, request).await;
        answered.map(drop).map_err(|_| SessionError::NoSession)
    }

    /// Ends a session: its relay leaves the room.
    ///
    /// # Errors
    /// [`SessionError::NoSession`].
    pub fn end(&self, session: &SessionId) -> Result<(), SessionError> {
        let publisher = self.sessions().remove(session);
        let publisher = publisher.ok_or(SessionError::NoSession)?;
        self.supervisor.stop(&publisher.job);
        Ok(())
    }

    /// What the publisher is called, if it may publish. Guests may not: it starts a process.
    fn name(&self, room: &RoomName, token: Option<&str>) -> Result<String, SessionError> {
        let grants = self.hub.grants(room, token)?;
        if token.is_none() && !grants.manage {
            let why =
                "a room token that allows `join` and `send` is needed to publish; guests may not";
            return Err(Refusal::new(ErrorCode::Unauthorized, why).into());
        }
        if !(grants.join && grants.send) {
            let why = "the token does not allow to join this room and to send";
            return Err(Refusal::new(ErrorCode::Forbidden, why).into());
        }
        Ok(grants.identity.unwrap_or_else(|| NAME.to_owned()))
    }

    /// Asks a worker that is just starting.
    async fn ask(&self, job: &JobId, request: Request) -> Result<String, String> {
        let asking = async {
            loop {
                match self.supervisor.request(job, request.clone()).await {
                    Ok(Answer::Session { sdp }) => return Ok(sdp),
                    Ok(Answer::Done | Answer::Graph { .. } | Answer::Refused { .. }) => {
                        return Err("it gave another answer".to_owned());
                    }
                    Err(RequestError::NotRunning) => sleep(AGAIN).await,
                    Err(error) => return Err(error.to_string()),
                }
                let view = self.supervisor.get(job);
                if let Some(view) = view.filter(JobView::ended) {
                    return Err(view.last_error.unwrap_or_else(|| "it ended".to_owned()));
                }
            }
        };
        let late = |_| Err(format!("it did not answer within {} s", ANSWER.as_secs()));
        timeout(ANSWER, asking).await.unwrap_or_else(late)
    }

    /// Forgets a session whose relay has ended.
    async fn forget(self, session: SessionId, job: JobId) {
        if let Some(mut view) = self.supervisor.watch(&job) {
            // The supervisor itself may end before.
            let _ = view.wait_for(JobView::ended).await;
        }
        self.sessions().remove(&session);
    }

    fn sessions(&self) -> MutexGuard<'_, HashMap<SessionId, Publisher>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether this can be an offer of a publisher.
fn check(offer: &str) -> Result<(), SessionError> {
    match sends_media(super::description(offer)?) {
        true => Ok(()),
        false => Err(SessionError::Offer(
            "the offer sends nothing; a publisher offers its m-sections as `sendonly`",
        )),
    }
}
