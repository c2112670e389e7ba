//! To whom a message has not come, and why no notification tells them of it.

use tertulia_proto::trace::{Behind as Told, NotDelivered, WhyNotNotified};
use tertulia_proto::{MessageTrace, PushProvider, Timestamp};
use tertulia_store::jobs::{JobRecord, JobState};
use tertulia_store::push::{NOTIFY, PushJob, push_key};
use tertulia_store::trace::{Audience, Behind};

/// What else is known of the message.
pub(super) struct Known<'a> {
    /// With its attempts to notify.
    pub trace: &'a MessageTrace,
    /// Those that concern it; `None` where they could not be looked at.
    pub jobs: Option<&'a [JobRecord]>,
    /// By what this server notifies.
    pub offered: &'a [PushProvider],
    pub now: Timestamp,
}

impl Known<'_> {
    pub fn told(&self, audience: &Audience, with_names: bool) -> NotDelivered {
        let users = audience.first.iter().map(|one| Told {
            user_id: one.user,
            name: with_names.then(|| one.name.clone()),
            not_notified: (!self.is_notified(one)).then(|| self.why(one)),
        });
        NotDelivered { members: audience.members, count: audience.behind, users: users.collect() }
    }

    /// Or it was tried. Attempts are forgotten before a device forgets up to where it was told.
    fn is_notified(&self, one: &Behind) -> bool {
        self.trace.pushes.iter().any(|push| push.user_id == Some(one.user))
            || one.devices.iter().any(|device| device.pushed_seq >= self.trace.seq)
    }

    /// What keeps it from them for longest is told first: a job that waits changes nothing about a device that is off.
    fn why(&self, one: &Behind) -> WhyNotNotified {
        let mut active = one.devices.iter().filter(|device| device.active).peekable();
        if self.trace.deleted_at.is_some() {
            WhyNotNotified::Deleted
        } else if self.offered.is_empty() {
            WhyNotNotified::NoProvider
        } else if one.devices.is_empty() {
            WhyNotNotified::NoDevice
        } else if active.peek().is_none() {
            WhyNotNotified::DevicesOff
        } else if !active.any(|device| self.offered.contains(&device.provider)) {
            WhyNotNotified::NoProvider
        } else if one.muted_until.is_some_and(|until| until > self.now) {
            WhyNotNotified::Muted
        } else if one.blocks {
            WhyNotNotified::Blocked
        } else if self.is_queued(one) {
            WhyNotNotified::Queued
        } else {
            WhyNotNotified::Unknown
        }
    }

    /// Whether it is still to be looked who needs to be told, or a device of theirs is to be told.
    fn is_queued(&self, one: &Behind) -> bool {
        let conversation_id = self.trace.conversation_id;
        let key = |registration| push_key(&PushJob { registration, conversation_id });
        let is_theirs = |job: &JobRecord| {
            job.kind == NOTIFY
                || one.devices.iter().any(|device| job.unique_key.as_deref() == Some(&key(device.registration)[..]))
        };
        let mut waiting = self.jobs.unwrap_or_default().iter().filter(|job| job.state != JobState::Dead);
        waiting.any(is_theirs)
    }
}

#[cfg(test)]
mod tests {
    use tertulia_proto::trace::TracedPush;
    use tertulia_proto::{ConversationId, RegistrationId, UserId};
    use tertulia_store::jobs::Priority;
    use tertulia_store::trace::BehindDevice;

    use super::*;

    fn at(ms: i64) -> Timestamp {
        Timestamp::from_ms(ms)
    }

    fn device(number: u8, provider: PushProvider) -> BehindDevice {
        let registration = RegistrationId::from_bytes([number; 16]);
        BehindDevice { registration, provider, active: true, pushed_seq: 6 }
    }

    fn member(devices: &[BehindDevice]) -> Behind {
        let user = UserId::from_bytes([2; 16]);
        Behind { user, name: "N".into(), muted_until: None, blocks: false, devices: devices.to_vec() }
    }

    fn job(kind: &str, state: JobState, unique_key: Option<Vec<u8>>) -> JobRecord {
        JobRecord {
            id: 1,
            kind: kind.to_owned(),
            unique_key,
            payload: "{}".to_owned(),
            state,
            priority: Priority::Normal,
            tries: 0,
            run_at: at(0),
            created_at: at(0),
            lease_until: None,
            dead_at: None,
            reasons: Vec::new(),
        }
    }

    fn why(trace: &MessageTrace, jobs: &[JobRecord], offered: &[PushProvider], one: Behind) -> Option<WhyNotNotified> {
        let known = Known { trace, jobs: Some(jobs), offered, now: at(100) };
        let told = known.told(&Audience { members: 3, behind: 1, first: vec![one] }, false);
        assert_eq!((told.members, told.count, told.users[0].name.as_deref()), (3, 1, None));
        told.users[0].not_notified
    }

    #[test]
    fn who_has_not_got_it_is_told_with_why_nothing_told_them() {
        use PushProvider::{Apns, Expo};
        use WhyNotNotified::{Blocked, Deleted, DevicesOff, Muted, NoDevice, NoProvider, Queued, Unknown};
        let trace = super::super::tests::nothing_told(7);
        let phone = device(4, Expo);
        let theirs = member(&[phone]);
        let asked = |one: Behind| why(&trace, &[], &[Expo], one);
        assert_eq!(asked(theirs.clone()), Some(Unknown));
        assert_eq!(why(&trace, &[], &[], theirs.clone()), Some(NoProvider));
        assert_eq!(asked(member(&[device(4, Apns)])), Some(NoProvider));
        assert_eq!(asked(member(&[])), Some(NoDevice));
        assert_eq!(asked(member(&[BehindDevice { active: false, ..phone }])), Some(DevicesOff));
        assert_eq!(asked(Behind { muted_until: Some(at(101)), ..theirs.clone() }), Some(Muted));
        assert_eq!(asked(Behind { muted_until: Some(at(100)), ..theirs.clone() }), Some(Unknown));
        assert_eq!(asked(Behind { blocks: true, ..theirs.clone() }), Some(Blocked));
        assert_eq!(asked(member(&[BehindDevice { pushed_seq: 7, ..phone }])), None, "it was told");
        let key = |number| {
            let registration = RegistrationId::from_bytes([number; 16]);
            Some(push_key(&PushJob { registration, conversation_id: trace.conversation_id }))
        };
        for (job, expected) in [
            (job(NOTIFY, JobState::Ready, None), Queued),
            (job(NOTIFY, JobState::Dead, None), Unknown),
            (job("push.expo", JobState::Running, key(4)), Queued),
            (job("push.expo", JobState::Ready, key(5)), Unknown),
        ] {
            assert_eq!(why(&trace, std::slice::from_ref(&job), &[Expo], theirs.clone()), Some(expected), "{job:?}");
            let muted = Behind { muted_until: Some(at(101)), ..theirs.clone() };
            assert_eq!(why(&trace, &[job], &[Expo], muted), Some(Muted), "a job changes nothing about that");
        }
        let deleted = MessageTrace { deleted_at: Some(at(50)), ..trace.clone() };
        assert_eq!(why(&deleted, &[], &[Expo], theirs.clone()), Some(Deleted));
        let push = TracedPush {
            at: at(50),
            registration_id: phone.registration,
            user_id: Some(theirs.user),
            provider: None,
            seq: 7,
            outcome: "refused".into(),
            detail: String::new(),
        };
        let tried = MessageTrace { pushes: vec![push], ..trace.clone() };
        assert_eq!(why(&tried, &[], &[Expo], theirs), None);
        assert_eq!(trace.conversation_id, ConversationId::from_bytes([0; 16]));
    }
}
