//! The bookkeeping of a run, without IO: what is under way, what came back, and every rule that was broken on the way.

use std::collections::VecDeque;

use hdrhistogram::Histogram;

use crate::scan::Reference;

/// A conversation and who watches it. `members` are indices of connections; `None` is a member who isn't connected.
#[derive(Debug, Clone)]
pub struct PlannedConversation {
    pub id: String,
    pub last_seq: u64,
    pub members: [Option<usize>; 2],
}

/// The messages of one sender in one conversation.
#[derive(Debug, Clone, Copy)]
pub struct PlannedFlow {
    pub conversation: usize,
    /// Which of the conversation's members sends.
    pub sender_side: usize,
    /// Sends under way at once, if this is a sender's second flow; the first has only the sender's own bound.
    pub in_flight_max: usize,
}

/// Who talks to whom.
#[derive(Debug, Clone, Default)]
pub struct Plan {
    pub conversations: Vec<PlannedConversation>,
    pub flows: Vec<PlannedFlow>,
    /// Every so many sends, a sender with a second flow uses that one.
    pub second_flow_every: u64,
    /// Sends each sender has in all; `None` is without end.
    pub quota: Option<u64>,
}

/// What broke a promise. All zero in a run that is worth its figures.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Violations {
    /// Acknowledged or sent, never seen by the peer (or by the sender's own connection).
    pub lost: u64,
    /// Never acknowledged.
    pub unacknowledged: u64,
    /// Seen twice by one connection.
    pub doubled: u64,
    /// Seen by one connection in another order than sent.
    pub reordered: u64,
    /// `seq` jumped.
    pub seq_gaps: u64,
    /// `seq` stood still or went back.
    pub seq_repeats: u64,
    /// Acknowledgement and broadcast named different `seq`s.
    pub seq_mismatches: u64,
    /// Seen by a connection that is no member.
    pub strays: u64,
}

impl Violations {
    /// All of them, by the name they have in the figures.
    pub fn named(&self) -> [(&'static str, u64); 8] {
        [
            ("lost", self.lost),
            ("unacknowledged", self.unacknowledged),
            ("doubled", self.doubled),
            ("reordered", self.reordered),
            ("seqGaps", self.seq_gaps),
            ("seqRepeats", self.seq_repeats),
            ("seqMismatches", self.seq_mismatches),
            ("strays", self.strays),
        ]
    }

    /// Adds another run's.
    pub fn add(&mut self, other: &Self) {
        self.lost += other.lost;
        self.unacknowledged += other.unacknowledged;
        self.doubled += other.doubled;
        self.reordered += other.reordered;
        self.seq_gaps += other.seq_gaps;
        self.seq_repeats += other.seq_repeats;
        self.seq_mismatches += other.seq_mismatches;
        self.strays += other.strays;
    }

    pub fn total(&self) -> u64 {
        self.named().iter().map(|(_, count)| count).sum()
    }
}

/// What one window of measuring saw. Times in microseconds.
#[derive(Debug, Clone)]
pub struct Measured {
    pub completed: u64,
    pub delivery_us: Histogram<u64>,
    pub acknowledgement_us: Histogram<u64>,
    since_ns: u64,
}

/// A send to be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Send {
    pub flow: usize,
    pub counter: u64,
    pub request_id: u64,
}

#[derive(Debug, Clone, Copy)]
struct Slot {
    sent_ns: u64,
    seq: u64,
    acknowledged: bool,
    /// By side: the sender's own connection, and the peer's.
    seen: [bool; 2],
}

impl Slot {
    fn settled(&self) -> bool {
        self.acknowledged && self.seen == [true; 2]
    }
}

#[derive(Debug)]
struct Flow {
    conversation: usize,
    sender_side: usize,
    in_flight_max: usize,
    in_flight: usize,
    /// Counter of the first slot.
    base: u64,
    slots: VecDeque<Slot>,
    /// The next counter each side should see.
    expected: [u64; 2],
}

#[derive(Debug, Default)]
struct Sender {
    flows: Vec<usize>,
    sent: u64,
    quota: Option<u64>,
}

#[derive(Debug)]
struct Watched {
    members: [Option<usize>; 2],
    last_seq: [u64; 2],
}

/// The state of a run. Times are nanoseconds since the run began.
#[derive(Debug)]
pub struct Traffic {
    conversations: Vec<Watched>,
    flows: Vec<Flow>,
    senders: Vec<Sender>,
    second_flow_every: u64,
    sending: bool,
    under_way: u64,
    completed: u64,
    arrivals: u64,
    measured: Option<Measured>,
    violations: Violations,
}

impl Measured {
    fn new(since_ns: u64) -> Option<Self> {
        let histogram = Histogram::<u64>::new_with_bounds(1, 120_000_000, 3).ok()?;
        Some(Self { completed: 0, delivery_us: histogram.clone(), acknowledgement_us: histogram, since_ns })
    }
}

impl Traffic {
    pub fn new(plan: &Plan, connections: usize) -> Self {
        let mut senders: Vec<Sender> =
            (0..connections).map(|_| Sender { quota: plan.quota, ..Sender::default() }).collect();
        let mut flows = Vec::with_capacity(plan.flows.len());
        for (index, flow) in plan.flows.iter().enumerate() {
            if let Some(sender) = plan.conversations[flow.conversation].members[flow.sender_side] {
                senders[sender].flows.push(index);
            }
            flows.push(Flow {
                conversation: flow.conversation,
                sender_side: flow.sender_side,
                in_flight_max: flow.in_flight_max,
                in_flight: 0,
                base: 0,
                slots: VecDeque::new(),
                expected: [0; 2],
            });
        }
        let conversations =
            plan.conversations.iter().map(|c| Watched { members: c.members, last_seq: [c.last_seq; 2] }).collect();
        Self {
            conversations,
            flows,
            senders,
            second_flow_every: plan.second_flow_every.max(2),
            sending: true,
            under_way: 0,
            completed: 0,
            arrivals: 0,
            measured: None,
            violations: Violations::default(),
        }
    }

    /// Connections that send.
    pub fn senders(&self) -> Vec<usize> {
        (0..self.senders.len()).filter(|sender| !self.senders[*sender].flows.is_empty()).collect()
    }

    /// Completed since the beginning: acknowledged and delivered.
    pub fn completed(&self) -> u64 {
        self.completed
    }

    /// Acknowledgements and broadcasts since the beginning.
    pub fn arrivals(&self) -> u64 {
        self.arrivals
    }

    /// Not yet completed.
    pub fn under_way(&self) -> u64 {
        self.under_way
    }

    pub fn stop_sending(&mut self) {
        self.sending = false;
    }

    /// Only what is sent from now on enters the latencies, and what completes from now on the rate.
    pub fn start_measuring(&mut self, now_ns: u64) {
        self.measured = Measured::new(now_ns);
    }

    pub fn take_measured(&mut self) -> Option<Measured> {
        self.measured.take()
    }

    /// The next send of a connection, due at `due_ns`; `None` when its quota is used up or sending has stopped.
    pub fn issue(&mut self, sender_index: usize, due_ns: u64) -> Option<Send> {
        let sender = &mut self.senders[sender_index];
        if !self.sending || sender.quota == Some(0) {
            return None;
        }
        let mut flow_index = *sender.flows.first()?;
        if let Some(&second) = sender.flows.get(1)
            && sender.sent % self.second_flow_every == self.second_flow_every - 1
            && self.flows[second].in_flight < self.flows[second].in_flight_max
        {
            flow_index = second;
        }
        if let Some(quota) = &mut sender.quota {
            *quota -= 1;
        }
        sender.sent += 1;
        self.under_way += 1;
        let flow = &mut self.flows[flow_index];
        let counter = flow.base + flow.slots.len() as u64;
        let seen = self.conversations[flow.conversation].members.map(|member| member.is_none());
        flow.in_flight += 1;
        flow.slots.push_back(Slot { sent_ns: due_ns, seq: 0, acknowledged: false, seen });
        Some(Send { flow: flow_index, counter, request_id: sender.sent })
    }

    /// An acknowledgement arrived. Returns the sender if this completed its send.
    pub fn on_acknowledged(&mut self, reference: Reference, now_ns: u64) -> Option<usize> {
        self.arrivals += 1;
        let flow = self.flows.get_mut(reference.flow)?;
        match flow.slot(reference.counter) {
            Some(slot) if !slot.acknowledged => {
                slot.acknowledged = true;
                self.complete(reference, now_ns, true)
            }
            _ => {
                self.violations.doubled += 1;
                None
            }
        }
    }

    /// A broadcast arrived at a connection. Returns the sender if this completed its send.
    pub fn on_new(&mut self, connection: usize, reference: Reference, now_ns: u64) -> Option<usize> {
        self.arrivals += 1;
        let flow = self.flows.get_mut(reference.flow)?;
        let conversation = &mut self.conversations[flow.conversation];
        let Some(side) = conversation.members.iter().position(|member| *member == Some(connection)) else {
            self.violations.strays += 1;
            return None;
        };
        let last_seq = &mut conversation.last_seq[side];
        if reference.seq <= *last_seq {
            self.violations.seq_repeats += 1;
        } else {
            self.violations.seq_gaps += reference.seq - *last_seq - 1;
            *last_seq = reference.seq;
        }
        match flow.slot(reference.counter) {
            Some(slot) if !slot.seen[side] => slot.seen[side] = true,
            _ => {
                self.violations.doubled += 1;
                return None;
            }
        }
        // Whoever is jumped over comes late; the jump alone is counted.
        self.violations.reordered += u64::from(reference.counter > flow.expected[side]);
        flow.expected[side] = flow.expected[side].max(reference.counter + 1);
        if side == flow.sender_side {
            flow.drop_settled();
            return None;
        }
        self.complete(reference, now_ns, false)
    }

    /// After the acknowledgement, or the broadcast at the peer.
    fn complete(&mut self, reference: Reference, now_ns: u64, by_acknowledgement: bool) -> Option<usize> {
        let flow = self.flows.get_mut(reference.flow)?;
        let peer_side = 1 - flow.sender_side;
        let slot = flow.slot(reference.counter)?;
        if slot.seq == 0 {
            slot.seq = reference.seq;
        } else if slot.seq != reference.seq {
            self.violations.seq_mismatches += 1;
        }
        let completed = slot.acknowledged && slot.seen[peer_side];
        if let Some(measured) = &mut self.measured {
            measured.completed += u64::from(completed);
            if slot.sent_ns >= measured.since_ns {
                let took_us = now_ns.saturating_sub(slot.sent_ns) / 1000;
                let histogram =
                    if by_acknowledgement { &mut measured.acknowledgement_us } else { &mut measured.delivery_us };
                histogram.saturating_record(took_us.max(1));
            }
        }
        if !completed {
            return None;
        }
        flow.in_flight -= 1;
        flow.drop_settled();
        self.completed += 1;
        self.under_way -= 1;
        self.conversations[flow.conversation].members[flow.sender_side]
    }

    /// Whether every connection, the senders' own included, has seen all that was sent.
    pub fn all_seen(&self) -> bool {
        self.flows.iter().all(|flow| flow.slots.is_empty())
    }

    /// The newest `seq` seen in each conversation.
    pub fn last_seqs(&self) -> Vec<u64> {
        self.conversations.iter().map(|conversation| conversation.last_seq[0].max(conversation.last_seq[1])).collect()
    }

    /// All rules broken, once nothing more is to be waited for.
    pub fn verdict(&self) -> Violations {
        let mut violations = self.violations;
        for slot in self.flows.iter().flat_map(|flow| &flow.slots) {
            violations.unacknowledged += u64::from(!slot.acknowledged);
            violations.lost += slot.seen.iter().filter(|seen| !**seen).count() as u64;
        }
        violations
    }
}

impl Flow {
    /// `None` for what is settled long since, or was never sent.
    fn slot(&mut self, counter: u64) -> Option<&mut Slot> {
        self.slots.get_mut(usize::try_from(counter.checked_sub(self.base)?).ok()?)
    }

    fn drop_settled(&mut self) {
        while self.slots.front().is_some_and(Slot::settled) {
            self.slots.pop_front();
            self.base += 1;
        }
    }
}

#[cfg(test)]
#[path = "traffic_tests.rs"]
mod tests;
