//! A relay that fetches: it asks another server for a stream by WHEP, again and again until it is told to end.

use anyhow::{Context as _, Result};

use super::retry::{Ended, Retry};
use super::{Events, Over, Promise, Source, gathered, keep};
use crate::peer::{Peer, PeerSettings};
use crate::signalling::protocol::Ice;
use crate::whip::client::Remote;
use crate::whip::with_candidates;

/// Fetches until the job ends.
pub async fn pull(remote: Remote, source: Source, events: Events) {
    let mut retry = Retry::new(events, source.stop.clone());
    let mut ice = Ice::default();
    loop {
        let fetched = fetch(&remote, &source, &mut ice).await;
        let ended = fetched.map_or_else(|error| Ended::before(&error), Ended::Lost);
        if let Err(over) = retry.after(ended).await {
            // Whoever waits for it has gone with the job.
            let _ = source.over.send(over);
            return;
        }
    }
}

/// One session, from the offer until nothing comes any more. Returns why it is over. `ice` has the servers that the other
/// one named before, and then those that it names now: they are of use where a session finds no way without.
async fn fetch(remote: &Remote, source: &Source, ice: &mut Ice) -> Result<String> {
    let settings = PeerSettings {
        ice: ice.clone(),
        ..source.peer_settings("source")
    };
    let (mut peer, offer, mut events) = Peer::offer(settings).await?;
    let candidates = gathered(&mut events).await?;
    let begun = remote.begin(with_candidates(&offer, &candidates)).await;
    let (session, answer) = match begun {
        Ok(begun) => begun,
        Err(error) => {
            peer.close().await;
            return Err(error.into());
        }
    };
    *ice = session.ice();
    if let Err(error) = take(&mut peer, &answer, source).await {
        peer.close().await;
        session.end().await;
        return Err(error);
    }
    let over = keep(peer, events, None, source.stop.clone()).await;
    session.end().await;
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
