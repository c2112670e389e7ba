//! Bugs that can be switched on to see whether the simulation finds them. Without the feature `planted` none is compiled in.

/// A promise broken on purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bug {
    /// An event that is not the next is applied as if it were.
    CursorOverGap,
    /// A hole that the difference tells of is not noted.
    HoleForgotten,
    /// The pending row goes when the acknowledgement comes, and the log's row comes with the event.
    EchoDroppedEarly,
    /// What comes after a parked message is sent all the same.
    ParkedOvertaken,
    /// Sends under way together do not name the one before.
    PipelineUnchained,
    /// A message that was perhaps sent can be discarded as if it never had been.
    TransmittedForgotten,
    /// Each try of a send has a name of its own.
    NewNameEachTry,
    /// A page of history closes its hole although what it holds has changed meanwhile.
    HoleClosedByOldPage,
    /// After a reset, conversations that were not told stay.
    ResetKeepsTheRest,
    /// A difference settles also what was heard while it was read.
    SettledTooMuch,
    /// The read watermark follows what the server says, also backward.
    ReadGoesBack,
    /// An error of one send is taken for an acknowledgement.
    RefusalTakenForAcceptance,
    /// What was sent over an earlier connection is sent again without a look at what became of it.
    RepeatedBlindly,
    /// What was sent and not answered is taken for done.
    UnansweredTakenForDone,
    /// What another device of the person has told counts for this one too, although it is notified by itself.
    ToldByAnother,
}

#[cfg(feature = "planted")]
#[derive(Debug, Clone, Default)]
pub(crate) struct Planted(Option<Bug>);

#[cfg(feature = "planted")]
impl Planted {
    pub fn set(&mut self, bug: Bug) {
        self.0 = Some(bug);
    }

    pub fn has(&self, bug: Bug) -> bool {
        self.0 == Some(bug)
    }
}

#[cfg(not(feature = "planted"))]
#[derive(Debug, Clone, Default)]
pub(crate) struct Planted(());

#[cfg(not(feature = "planted"))]
impl Planted {
    #[expect(clippy::unused_self, reason = "the other form asks its field")]
    pub const fn has(&self, _: Bug) -> bool {
        false
    }
}
