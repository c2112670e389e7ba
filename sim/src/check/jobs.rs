//! A dead letter is one whose provider refused, or who has failed as often as it may.

use anyhow::{Result, ensure};
use tertulia_jobs::Schedule;
use tertulia_store::jobs::JobRecord;
use tertulia_store::push::PushJob;

use crate::notify::post::Book;

pub fn dead(book: &Book, dead: &[JobRecord]) -> Result<()> {
    for job in dead {
        let about = serde_json::from_str::<PushJob>(&job.payload).ok();
        let is_refused = about.is_some_and(|about| book.refused.contains(&(about.registration, about.conversation_id)));
        let is_out_of_tries = job.tries >= Schedule::notifications().attempts_max();
        ensure!(is_refused || is_out_of_tries, "a dead letter for no reason: {job:?}");
    }
    Ok(())
}
