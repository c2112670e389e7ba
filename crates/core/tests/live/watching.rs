//! How long one sees whether somebody is there.

use tertulia_core::auth::Identity;
use tertulia_proto::{ConversationId, ServerEvent};

use crate::town::{Town, told};

/// What parts the one who watches from the one who is watched.
#[derive(Debug, Clone, Copy)]
enum Parting {
    Nothing,
    WatcherLeaves,
    WatchedLeaves,
    WatcherIsRemoved,
    WatchedIsRemoved,
    WatchedBlocks,
}

use Parting::{Nothing, WatchedBlocks, WatchedIsRemoved, WatchedLeaves, WatcherIsRemoved, WatcherLeaves};

struct Cast {
    town: Town,
    owner: Identity,
    watcher: Identity,
    watched: Identity,
    group: ConversationId,
}

impl Cast {
    async fn new() -> Self {
        let town = Town::new();
        let (owner, watcher, watched) =
            (town.person("owner").await, town.person("watcher").await, town.person("watched").await);
        let group = town.group(&owner, &[&watcher, &watched]).await;
        Self { town, owner, watcher, watched, group }
    }

    async fn part(&self, parting: Parting) {
        let Self { town, owner, watcher, watched, group } = self;
        let (by, who) = match parting {
            Nothing => return,
            WatchedBlocks => return town.services.set_blocked(watched, watcher.user, true).await.unwrap(),
            WatcherLeaves => (watcher, watcher),
            WatchedLeaves => (watched, watched),
            WatcherIsRemoved => (owner, watcher),
            WatchedIsRemoved => (owner, watched),
        };
        town.services.remove_member(by, *group, who.user, None).await.unwrap();
    }

    /// How often the watcher, who began to watch before the parting, sees the other come and go after it.
    async fn seen_after(&self, parting: Parting) -> usize {
        self.seen_around(self.part(parting)).await
    }

    async fn seen_around(&self, parting: impl Future<Output = ()>) -> usize {
        let Self { town, watcher, watched, .. } = self;
        let window = town.connect(watcher).await;
        let people = vec![watched.user];
        assert_eq!(town.services.watch_presence(watcher, &window, people).await.unwrap().len(), 1);
        parting.await;
        let mut seen = 0;
        let mut look = || {
            let is_sign = |event: &ServerEvent| matches!(event, ServerEvent::PresenceUpdate(_));
            seen += told(&window).iter().filter(|event| is_sign(event)).count();
        };
        let device = town.connect(watched).await;
        look();
        town.services.disconnect(&device);
        look();
        seen
    }
}

#[tokio::test]
async fn a_watch_ends_with_the_last_group_the_two_share() {
    for (parting, seen) in [
        (Nothing, 2),
        (WatcherLeaves, 0),
        (WatchedLeaves, 0),
        (WatcherIsRemoved, 0),
        (WatchedIsRemoved, 0),
        (WatchedBlocks, 0),
    ] {
        assert_eq!(Cast::new().await.seen_after(parting).await, seen, "{parting:?}");
    }
}

#[tokio::test]
async fn a_watch_goes_on_while_the_two_share_another_conversation() {
    for parting in [WatcherLeaves, WatchedLeaves, WatcherIsRemoved, WatchedIsRemoved] {
        let cast = Cast::new().await;
        cast.town.dm(&cast.watcher, &cast.watched).await;
        assert_eq!(cast.seen_after(parting).await, 2, "{parting:?}");
    }
}

/// Who asked is gone when the commit is told.
#[tokio::test]
async fn a_watch_ends_with_a_block_whose_asker_hung_up() {
    let cast = Cast::new().await;
    let hung_up = async {
        cast.town.handoff.hold();
        tokio::select! {
            biased;
            () = cast.part(WatchedBlocks) => panic!("nothing has been told yet"),
            () = std::future::ready(()) => {}
        }
        cast.town.handoff.release();
    };
    assert_eq!(cast.seen_around(hung_up).await, 0);
}

/// Whom one still shares something with is still watched, and still watches.
#[tokio::test]
async fn a_parting_ends_no_watch_of_others() {
    let cast = Cast::new().await;
    let Cast { town, owner, watcher, watched, group } = &cast;
    let window = town.connect(owner).await;
    town.services.watch_presence(owner, &window, vec![watcher.user, watched.user]).await.unwrap();
    town.services.remove_member(owner, *group, watched.user, None).await.unwrap();
    told(&window);
    town.connect(watched).await;
    assert_eq!(told(&window), []);
    town.connect(watcher).await;
    assert!(matches!(told(&window)[..], [ServerEvent::PresenceUpdate(_)]));
}
