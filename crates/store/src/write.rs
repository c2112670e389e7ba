//! What can happen to the log, and what came of it.

use tertulia_proto::{
    ApiKeyId, ClientMsgId, Conversation, ConversationId, DeviceId, Emoji, HistoryVisibility, Member, Message,
    MessageId, Reaction, Rev, Role, Seq, SessionId, Timestamp, User, UserId,
};

/// One fact to be made true, whole or not at all. Ids and times come from the caller: a home has neither clock nor chance.
#[derive(Debug, Clone)]
pub enum Write {
    /// Changes nothing. Its end comes after that of everything submitted before it, so who waits for it has waited for all of that.
    Fence,
    AppendMessage(Box<AppendMessage>),
    EditMessage {
        conversation: ConversationId,
        message: MessageId,
        actor: UserId,
        body: String,
        now: Timestamp,
    },
    DeleteMessage {
        conversation: ConversationId,
        message: MessageId,
        actor: UserId,
        now: Timestamp,
    },
    /// Adds (`present`) or takes back one's own reaction.
    SetReaction {
        conversation: ConversationId,
        message: MessageId,
        actor: UserId,
        emoji: Emoji,
        present: bool,
        per_message_max: usize,
        now: Timestamp,
    },
    /// Forward only; read implies delivered; a number above the log's end means the log's end.
    AdvanceWatermarks {
        conversation: ConversationId,
        actor: UserId,
        delivered: Option<Seq>,
        read: Option<Seq>,
        /// What told of it: its own mark moves as well, whatever other devices have told, where it is registered for notifications.
        device: Option<DeviceId>,
        now: Timestamp,
    },
    /// The DM of the pair, made with this id unless it is there.
    OpenDm {
        id: ConversationId,
        actor: UserId,
        peer: UserId,
        now: Timestamp,
    },
    CreateGroup {
        id: ConversationId,
        actor: UserId,
        title: String,
        /// Without the actor; doubles count once.
        members: Vec<UserId>,
        history_visibility: HistoryVisibility,
        now: Timestamp,
    },
    SetTitle {
        conversation: ConversationId,
        actor: UserId,
        title: String,
        now: Timestamp,
    },
    AddMember {
        conversation: ConversationId,
        actor: UserId,
        target: UserId,
        now: Timestamp,
    },
    /// With `target == actor`: leaves, and names a new owner where one is needed.
    RemoveMember {
        conversation: ConversationId,
        actor: UserId,
        target: UserId,
        successor: Option<UserId>,
        now: Timestamp,
    },
    SetRole {
        conversation: ConversationId,
        actor: UserId,
        target: UserId,
        role: Role,
        now: Timestamp,
    },
    /// Until something new arrives.
    Hide {
        conversation: ConversationId,
        actor: UserId,
    },
    SetMuted {
        conversation: ConversationId,
        actor: UserId,
        until: Option<Timestamp>,
    },
    SetBlocked {
        actor: UserId,
        target: UserId,
        blocked: bool,
        blocks_max: usize,
    },

    /// Refused with `conflict` where the e-mail is taken.
    CreateUser(NewUser),
    /// The user of an e-mail, made where needed; an existing one keeps its name.
    EnsureUser(NewUser),
    /// The user of somebody else's `(issuer, subject)`, made where needed; name and e-mail follow the issuer. The e-mail of an existing local
    /// account is not taken over: the new user has none then.
    EnsureExternalUser {
        issuer: String,
        subject: String,
        user: NewUser,
    },
    UpdateProfile {
        user: UserId,
        name: Option<String>,
        avatar_url: Option<Option<String>>,
        now: Timestamp,
    },
    /// Of the person, and of the session where there is one.
    TouchLastSeen {
        user: UserId,
        session: SessionId,
        at: Timestamp,
    },
    OpenSession {
        session: SessionId,
        user: UserId,
        /// What the client calls itself.
        user_agent: Option<String>,
        expires_at: Timestamp,
        now: Timestamp,
    },
    ExtendSession {
        session: SessionId,
        expires_at: Timestamp,
        now: Timestamp,
    },
    /// Also of a session this log never opened (a host app's token): from now on it is refused. The record may go after `expires_at`.
    EndSession {
        session: SessionId,
        user: UserId,
        expires_at: Timestamp,
        now: Timestamp,
    },
    CreateApiKey {
        id: ApiKeyId,
        hash: [u8; 32],
        name: String,
        scopes: Vec<String>,
        /// Whom it acts for; else each call says so.
        user: Option<UserId>,
        /// That one, where they are made with it.
        bot: Option<Box<NewUser>>,
        now: Timestamp,
    },
    RevokeApiKey {
        id: ApiKeyId,
        now: Timestamp,
    },
}

#[derive(Debug, Clone)]
pub struct AppendMessage {
    pub id: MessageId,
    pub conversation: ConversationId,
    pub sender: UserId,
    pub client_msg_id: ClientMsgId,
    pub body: String,
    pub reply_to: Option<MessageId>,
    /// Refused with `out_of_order` unless this one of the sender is in the log (or before it in the same commit).
    pub after: Option<ClientMsgId>,
    /// When it is looked who has to be notified: those who are there need some time to say so. `None`: nobody ever is.
    pub notify_at: Option<Timestamp>,
    pub now: Timestamp,
}

#[derive(Debug, Clone)]
pub struct NewUser {
    pub id: UserId,
    /// Lower case; unique.
    pub email: Option<String>,
    pub name: String,
    /// A PHC string; `None` for people who sign in elsewhere.
    pub password_hash: Option<String>,
    pub avatar_url: Option<String>,
    pub now: Timestamp,
}

/// What a write came to. `changed: false` (or `fresh: false`): it was so already; nothing is to be told to anybody else.
#[derive(Debug, Clone)]
pub enum Effect {
    MessageAppended {
        message: Message,
        fresh: bool,
    },
    /// `unseen_by`: members who joined after the message and see nothing of it.
    MessageEdited {
        message: Message,
        unseen_by: Vec<UserId>,
        changed: bool,
    },
    MessageDeleted {
        message: Message,
        unseen_by: Vec<UserId>,
        changed: bool,
    },
    ReactionsChanged {
        conversation: ConversationId,
        message: MessageId,
        seq: Seq,
        rev: Rev,
        reactions: Vec<Reaction>,
        unseen_by: Vec<UserId>,
        changed: bool,
    },
    WatermarksAdvanced {
        conversation: ConversationId,
        user: UserId,
        delivered_seq: Seq,
        read_seq: Seq,
        rev: Rev,
        changed: bool,
    },
    /// How each member sees the new (or, not fresh, the existing) conversation; the actor's view first.
    ConversationOpened {
        views: Vec<(UserId, Conversation)>,
        fresh: bool,
    },
    TitleChanged {
        conversation: ConversationId,
        rev: Rev,
        title: String,
        changed: bool,
    },
    /// `view` is the conversation as the new member sees it.
    MemberAdded {
        conversation: ConversationId,
        user: UserId,
        rev: Rev,
        member: Member,
        view: Box<Conversation>,
        changed: bool,
    },
    /// `successor` is the new owner's row, where one was named.
    MemberRemoved {
        conversation: ConversationId,
        user: UserId,
        rev: Rev,
        member: Member,
        successor: Option<Member>,
    },
    RoleChanged {
        conversation: ConversationId,
        rev: Rev,
        member: Member,
        changed: bool,
    },
    /// Hidden or muted; the conversation as the actor sees it now.
    PersonalChanged {
        user: UserId,
        view: Box<Conversation>,
    },
    /// `view`: the pair's DM as the actor sees it now, where there is one.
    BlockChanged {
        user: UserId,
        view: Option<Box<Conversation>>,
    },
    /// `rows`: where an issuer gave a known person another name or picture, their row in each of their conversations.
    UserReady {
        user: User,
        created: bool,
        rows: Vec<(ConversationId, Member)>,
    },
    /// The person's row in each of their conversations, which all show the new name.
    ProfileChanged {
        user: User,
        rows: Vec<(ConversationId, Member)>,
    },
    SessionEnded {
        session: SessionId,
    },
    Done,
}
