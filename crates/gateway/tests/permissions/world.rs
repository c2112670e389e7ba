//! A small world, the same each time: a group with everybody's kind of place in it, and a DM in which alice has blocked bob.

use tertulia_core::auth::{Scope, Scopes};
use tertulia_proto::request::PersonBody;
use tertulia_proto::{ConversationId, MessageId, Role};

use crate::support::{Person, Server, Wish, email};

/// Who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Caller {
    /// Signed in, never a member.
    Stranger,
    /// Was a member and wrote something then.
    Removed,
    Member,
    Admin,
    Owner,
    /// Bob, in his DM with alice, who has blocked him.
    Blocked,
    /// Sends no token. The following ones would be the owner if they were let in.
    Nobody,
    BadToken,
    ExpiredToken,
    /// Has signed out.
    EndedSession,
    /// An API key with every scope but the one that the call wants.
    KeyWithoutScope,
    /// An API key with no other scope than the one that the call wants.
    KeyWithScope,
}

impl Caller {
    pub const ALL: [Self; 12] = [
        Self::Stranger,
        Self::Removed,
        Self::Member,
        Self::Admin,
        Self::Owner,
        Self::Blocked,
        Self::Nobody,
        Self::BadToken,
        Self::ExpiredToken,
        Self::EndedSession,
        Self::KeyWithoutScope,
        Self::KeyWithScope,
    ];
}

/// What a caller brings along.
#[derive(Default)]
pub struct Papers {
    pub token: Option<String>,
    /// For `Tertulia-User`.
    pub acts_as: Option<String>,
}

pub struct World {
    pub server: Server,
    owner: Person,
    admin: Person,
    member: Person,
    removed: Person,
    stranger: Person,
    alice: Person,
    bob: Person,
    /// Has blocked the owner and bob, and shares no conversation with them.
    carol: Person,
    group: ConversationId,
    dm: ConversationId,
    owners_message: MessageId,
    members_message: MessageId,
    removeds_message: MessageId,
    alices_message: MessageId,
    bobs_message: MessageId,
}

async fn say(server: &Server, who: &Person, conversation: ConversationId) -> MessageId {
    let name = &who.identity.name;
    server.say(who, conversation, &format!("of-{name}"), &format!("hello from {name}")).await.message_id
}

fn by_id(person: &Person) -> PersonBody {
    PersonBody { email: None, user_id: Some(person.id()) }
}

impl World {
    pub async fn new() -> Self {
        let server = Server::new(Wish::default());
        let services = server.services();
        let owner = server.person("Owner").await;
        let admin = server.person("Admin").await;
        let member = server.person("Member").await;
        let removed = server.person("Removed").await;
        let stranger = server.person("Stranger").await;
        let alice = server.person("Alice").await;
        let bob = server.person("Bob").await;
        let carol = server.person("Carol").await;
        let group = server.group(&owner, &[&admin, &member, &removed]).await;
        services.set_role(&owner.identity, group, admin.id(), Role::Admin).await.unwrap();
        let dm = services.open_dm(&alice.identity, &by_id(&bob)).await.unwrap().0.id;
        let owners_message = say(&server, &owner, group).await;
        let members_message = say(&server, &member, group).await;
        let removeds_message = say(&server, &removed, group).await;
        let alices_message = say(&server, &alice, dm).await;
        let bobs_message = say(&server, &bob, dm).await;
        services.remove_member(&owner.identity, group, removed.id(), None).await.unwrap();
        services.set_blocked(&alice.identity, bob.id(), true).await.unwrap();
        services.set_blocked(&carol.identity, owner.id(), true).await.unwrap();
        services.set_blocked(&carol.identity, bob.id(), true).await.unwrap();
        Self {
            owner,
            admin,
            member,
            removed,
            stranger,
            alice,
            bob,
            carol,
            group,
            dm,
            owners_message,
            members_message,
            removeds_message,
            alices_message,
            bobs_message,
            server,
        }
    }

    /// Makes the caller what it is called, and answers what it brings along.
    pub async fn papers(&self, caller: Caller, scope: Option<Scope>) -> Papers {
        let of = |person: &Person| Papers { token: Some(person.token.token.clone()), acts_as: None };
        match caller {
            Caller::Stranger => of(&self.stranger),
            Caller::Removed => of(&self.removed),
            Caller::Member => of(&self.member),
            Caller::Admin => of(&self.admin),
            Caller::Owner => of(&self.owner),
            Caller::Blocked => of(&self.bob),
            Caller::Nobody => Papers::default(),
            Caller::BadToken => Papers { token: Some("nonsense".to_owned()), acts_as: None },
            Caller::ExpiredToken => {
                self.server.later(self.owner.token.expires_at.ms() - self.server.services().now().ms());
                of(&self.owner)
            }
            Caller::EndedSession => {
                self.server.services().auth().logout(&self.owner.identity).await.unwrap();
                of(&self.owner)
            }
            Caller::KeyWithoutScope => self.key(Scope::ALL.into_iter().filter(|known| Some(*known) != scope)).await,
            Caller::KeyWithScope => self.key(scope).await,
        }
    }

    async fn key(&self, scopes: impl IntoIterator<Item = Scope>) -> Papers {
        let scopes = scopes.into_iter().collect::<Scopes>();
        let key = self.server.services().auth().create_api_key("the owner's server", scopes).await.unwrap();
        Papers { token: Some(key.token), acts_as: Some(email("Owner")) }
    }

    /// Puts the world's ids where their names stand in braces. `{place}` is the caller's conversation, `{person}` somebody else in it, `{mine}` the
    /// message of who asks (of the member, where the one who asks has none) and `{theirs}` one of somebody else.
    pub fn fill(&self, text: &str, caller: Caller) -> String {
        let blocked = caller == Caller::Blocked;
        let place = if blocked { self.dm } else { self.group };
        let person = if blocked { &self.alice } else { &self.member };
        let mine = match caller {
            Caller::Blocked => self.bobs_message,
            Caller::Removed => self.removeds_message,
            Caller::Owner | Caller::KeyWithScope => self.owners_message,
            _ => self.members_message,
        };
        let theirs = match caller {
            Caller::Blocked => self.alices_message,
            Caller::Owner | Caller::KeyWithScope => self.members_message,
            _ => self.owners_message,
        };
        let names = [
            ("{place}", place.to_string()),
            ("{person}", person.id().to_string()),
            ("{mine}", mine.to_string()),
            ("{theirs}", theirs.to_string()),
            ("{owner}", self.owner.id().to_string()),
            ("{admin}", self.admin.id().to_string()),
            ("{removed}", self.removed.id().to_string()),
            ("{stranger}", self.stranger.id().to_string()),
            ("{alice}", self.alice.id().to_string()),
            ("{carol}", self.carol.id().to_string()),
        ];
        names.iter().fold(text.to_owned(), |text, (name, id)| text.replace(name, id))
    }
}
