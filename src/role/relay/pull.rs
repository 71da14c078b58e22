//! A relay that fetches: it asks another server for a stream by WHEP, again and again until it is told to end.

use std::time::Duration;

use anyhow::{Context as _, Result};
use tokio::time::sleep;

use super::{Events, Over, Promise, Source, gathered, keep};
use crate::job::Event;
use crate::peer::Peer;
use crate::whip::client::{Remote, RemoteError, Session};
use crate::whip::with_candidates;

/// The first wait after the stream was lost; it doubles up to [`LONGEST_WAIT`].
const FIRST_WAIT: Duration = Duration::from_millis(500);
const LONGEST_WAIT: Duration = Duration::from_secs(15);

/// Fetches until the job ends.
pub async fn pull(remote: Remote, source: Source, events: Events) {
    let mut wait = FIRST_WAIT;
    loop {
        let why = match fetch(&remote, &source).await {
            Ok(why) => {
                wait = FIRST_WAIT;
                why
            }
            Err(error) => {
                let is_final = error
                    .downcast_ref::<RemoteError>()
                    .is_some_and(RemoteError::is_final);
                let why = format!("{error:#}");
                if is_final {
                    // Whoever waits for it has gone with the job.
                    let _ = source.over.send(Over::Refused(why));
                    return;
                }
                why
            }
        };
        if source.stop.is_cancelled() {
            return;
        }
        let message = format!("{why}; trying again in {:.1} s", wait.as_secs_f32());
        // Nobody listens any more once the job has ended.
        let _ = events.send(Event::Error {
            message,
            fatal: false,
        });
        tokio::select! {
            () = sleep(wait) => {}
            () = source.stop.cancelled() => return,
        }
        wait = (wait * 2).min(LONGEST_WAIT);
    }
}

/// One session, from the offer until nothing comes any more. Returns why it is over.
async fn fetch(remote: &Remote, source: &Source) -> Result<String> {
    let (mut peer, offer, mut events) = Peer::offer(source.peer_settings("source")).await?;
    let candidates = gathered(&mut events).await?;
    let begun = remote.begin(with_candidates(&offer, &candidates)).await;
    let (session, answer) = match begun {
        Ok(begun) => begun,
        Err(error) => {
            peer.close().await;
            return Err(error.into());
        }
    };
    if let Err(error) = take(&mut peer, &answer, source).await {
        peer.close().await;
        session.end().await;
        return Err(error);
    }
    let over = keep(peer, events, None, source.stop.clone()).await;
    Session::end(session).await;
    Ok(match over {
        Over::Refused(why) | Over::Broken(why) | Over::Lost(why) | Over::Untrusted(why) => why,
        Over::Asked | Over::Done | Over::Limit(_) => {
            format!("{}: nothing comes any more", remote.shown())
        }
    })
}

/// What comes has to be what came before: the room was told so.
async fn take(peer: &mut Peer, answer: &str, source: &Source) -> Result<()> {
    peer.accept(answer).await?;
    let promise = Promise::given(answer).context("the answer")?;
    anyhow::ensure!(
        promise.audio || promise.video.is_some(),
        "the answer sends nothing that is taken here"
    );
    source.promise.send_replace(Some(promise));
    Ok(())
}
