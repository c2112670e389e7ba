//! Connections: two queues each, with delays. Frames of one connection keep their order, as TCP keeps it, unless the world is one in which they do not.

use std::collections::VecDeque;

use tertulia_testkit::Random;

use crate::plan::Plan;

/// What comes to a device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Down {
    Frame(String),
    Closed(u16),
    Lost,
}

#[derive(Debug, Default)]
pub struct Wire {
    /// The server has not heard of it yet.
    pub opens_at: Option<u64>,
    pub up: VecDeque<(u64, String)>,
    pub down: VecDeque<(u64, Down)>,
    /// Answers that take a way of their own, as those of a REST call do.
    pub aside: Vec<(u64, Down)>,
    /// The device no longer listens: the server hears of it then.
    pub server_hears_at: Option<u64>,
    /// Frames go nowhere; neither end is told.
    pub is_dead: bool,
    /// The device reads nothing until then.
    pub stalled_until: u64,
}

impl Wire {
    /// What has come to the device by now.
    pub fn take_down(&mut self, now: u64) -> Option<Down> {
        if self.is_dead || self.stalled_until > now {
            return None;
        }
        if let Some(at) = self.aside.iter().position(|(at, _)| *at <= now) {
            return Some(self.aside.remove(at).1);
        }
        self.down.pop_front_if(|(at, _)| *at <= now).map(|(_, down)| down)
    }

    pub fn next_at(&self) -> Option<u64> {
        let down = self.down.front().map(|(at, _)| (*at).max(self.stalled_until));
        let aside = self.aside.iter().map(|(at, _)| (*at).max(self.stalled_until)).min();
        let up = self.up.front().map(|(at, _)| *at);
        [self.opens_at, up, down, aside, self.server_hears_at].into_iter().flatten().min()
    }
}

/// Puts a frame on its way, with what may happen to it there.
pub fn send<T: Clone>(
    queue: &mut VecDeque<(u64, T)>,
    frame: T,
    now: u64,
    plan: &Plan,
    random: &mut Random,
    faulty: bool,
) {
    let faults = &plan.faults;
    let once_in = |random: &mut Random, times: usize| faulty && times > 0 && random.one_in(times);
    if once_in(random, faults.drop_frame) {
        return;
    }
    let last = queue.back().map_or(0, |(at, _)| *at);
    let at = last.max(now + delay(plan, random));
    if once_in(random, faults.double_frame) {
        queue.push_back((at, frame.clone()));
    }
    queue.push_back((at, frame));
    if once_in(random, faults.overtake_frame) {
        overtake(queue, 1 + random.below(6));
    }
}

/// The last frame passes so many before it; the times stay where they are.
fn overtake<T>(queue: &mut VecDeque<(u64, T)>, by: usize) {
    let Some(last) = queue.len().checked_sub(1) else { return };
    for place in (last.saturating_sub(by)..last).rev() {
        queue.swap(place, place + 1);
        let earlier = queue[place + 1].0;
        queue[place + 1].0 = queue[place].0;
        queue[place].0 = earlier;
    }
}

pub fn delay(plan: &Plan, random: &mut Random) -> u64 {
    let (least, most) = plan.latency_ms;
    // Mostly quick, now and then slow.
    let span = if random.one_in(8) { most } else { most / 8 };
    least + random.next() % (span + 1)
}
