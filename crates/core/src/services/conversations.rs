//! Opening, naming, leaving; members and roles; hiding and muting.

use tertulia_proto::request::{ConversationPatch, MuteConversation, NewGroupBody, PersonBody};
use tertulia_proto::{ApiError, Conversation, ConversationId, ListCursor, Member, Role, Timestamp, UserId};
use tertulia_store::{AccountLookup, ConversationPage, Effect, Membership, Write};

use super::{Done, Services, page_size, waited};
use crate::auth::{Identity, Scope, normalize_email};
use crate::write::store_failed;

fn opened(effect: &Effect) -> Option<(Conversation, bool)> {
    match effect {
        Effect::ConversationOpened { views, fresh } => views.first().map(|(_, view)| (view.clone(), *fresh)),
        _ => None,
    }
}

fn member(effect: &Effect) -> Option<(Member, bool)> {
    match effect {
        Effect::MemberAdded { member, changed, .. } | Effect::RoleChanged { member, changed, .. } => {
            Some((member.clone(), *changed))
        }
        Effect::MemberRemoved { member, .. } => Some((member.clone(), true)),
        _ => None,
    }
}

fn personal(effect: &Effect) -> Option<()> {
    matches!(effect, Effect::PersonalChanged { .. }).then_some(())
}

impl Services {
    pub async fn conversations(
        &self,
        actor: &Identity,
        cursor: Option<&str>,
        limit: Option<i64>,
    ) -> Result<(ConversationPage, usize), ApiError> {
        actor.require(Scope::ChatRead)?;
        let limit = page_size(limit, 20, self.limits.list_page_max)?;
        let after = match cursor {
            None | Some("") => None,
            Some(text) => {
                Some(ListCursor::decode(text).ok_or_else(|| ApiError::invalid("cursor: not one of this server's"))?)
            }
        };
        let page = self.store.conversations(actor.user, after, limit).await.map_err(|e| store_failed(&e))?;
        Ok((page, limit))
    }

    pub async fn conversation(&self, actor: &Identity, conversation: ConversationId) -> Result<Conversation, ApiError> {
        actor.require(Scope::ChatRead)?;
        let found = self.store.conversation(actor.user, conversation).await.map_err(|e| store_failed(&e))?;
        found.ok_or_else(|| ApiError::not_found("conversation"))
    }

    pub(crate) async fn member_of(
        &self,
        actor: &Identity,
        conversation: ConversationId,
    ) -> Result<Membership, ApiError> {
        let found = self.store.membership(actor.user, conversation).await.map_err(|e| store_failed(&e))?;
        found.ok_or_else(|| ApiError::not_found("conversation"))
    }

    /// The person meant by an e-mail or an id.
    async fn person(&self, person: &PersonBody) -> Result<UserId, ApiError> {
        let lookup = match (&person.email, person.user_id) {
            (Some(email), None) => AccountLookup::Email(normalize_email(email)?),
            (None, Some(id)) => AccountLookup::Id(id),
            _ => return Err(ApiError::invalid("email, userId: one of the two is needed")),
        };
        let found = self.store.account(lookup).await.map_err(|e| store_failed(&e))?;
        found.map(|account| account.user.id).ok_or_else(|| ApiError::not_found("user"))
    }

    /// The DM with a person, and whether it is new.
    pub async fn open_dm(&self, actor: &Identity, person: &PersonBody) -> Result<(Conversation, bool), ApiError> {
        actor.require(Scope::ChatWrite)?;
        self.rates.opened.take_with(self.shared(), actor.user, self.now()).await?;
        let peer = self.person(person).await?;
        let id = ConversationId::from_uuid(self.powers.new_uuid());
        self.perform(Write::OpenDm { id, actor: actor.user, peer, now: self.now() }, opened).await
    }

    pub async fn create_group(&self, actor: &Identity, group: NewGroupBody) -> Result<Conversation, ApiError> {
        actor.require(Scope::ChatWrite)?;
        let title = self.title(&group.title)?;
        // The creator is a member as well.
        if group.member_emails.len() + group.member_ids.len() + 1 > self.limits.group_members_max {
            return Err(ApiError::too_large("members", self.limits.group_members_max, "people"));
        }
        self.rates.opened.take_with(self.shared(), actor.user, self.now()).await?;
        let mut members = Vec::new();
        for email in group.member_emails {
            members.push(self.person(&PersonBody { email: Some(email), user_id: None }).await?);
        }
        for id in group.member_ids {
            members.push(self.person(&PersonBody { email: None, user_id: Some(id) }).await?);
        }
        let id = ConversationId::from_uuid(self.powers.new_uuid());
        let write = Write::CreateGroup {
            id,
            actor: actor.user,
            title,
            members,
            history_visibility: group.history_visibility,
            now: self.now(),
        };
        Ok(self.perform(write, opened).await?.0)
    }

    fn title(&self, text: &str) -> Result<String, ApiError> {
        let title = text.trim();
        if title.chars().count() > self.limits.title_max_chars {
            return Err(ApiError::too_large("title", self.limits.title_max_chars, "characters"));
        }
        if title.is_empty() || title.chars().any(char::is_control) {
            return Err(ApiError::invalid("title: must not be blank or hold control characters"));
        }
        Ok(title.to_owned())
    }

    /// Renames it for everybody, mutes it for me; answers the conversation as it is then.
    pub async fn patch_conversation(
        &self,
        actor: &Identity,
        conversation: ConversationId,
        patch: ConversationPatch,
    ) -> Result<Conversation, ApiError> {
        self.count_change(actor)?;
        if let Some(title) = patch.title {
            let write =
                Write::SetTitle { conversation, actor: actor.user, title: self.title(&title)?, now: self.now() };
            self.perform(write, |effect| matches!(effect, Effect::TitleChanged { .. }).then_some(())).await?;
        }
        if let Some(until) = patch.muted_until {
            waited(|done| self.set_muted(actor, conversation, until, done)).await?;
        }
        let found = self.store.conversation(actor.user, conversation).await.map_err(|e| store_failed(&e))?;
        found.ok_or_else(|| ApiError::not_found("conversation"))
    }

    /// Mutes it for me, or ends that.
    pub fn submit_mute(&self, actor: &Identity, request: &MuteConversation, done: Done<()>) {
        match self.count_change(actor) {
            Ok(()) => self.set_muted(actor, request.conversation_id, request.muted_until, done),
            Err(refusal) => done(Err(refusal)),
        }
    }

    fn set_muted(&self, actor: &Identity, conversation: ConversationId, until: Option<Timestamp>, done: Done<()>) {
        self.submit(Write::SetMuted { conversation, actor: actor.user, until }, personal, done);
    }

    /// Hides it for me until something new arrives.
    pub async fn hide(&self, actor: &Identity, conversation: ConversationId) -> Result<(), ApiError> {
        self.count_change(actor)?;
        let write = Write::Hide { conversation, actor: actor.user };
        self.perform(write, personal).await
    }

    /// The member's row, and whether they are new.
    pub async fn add_member(
        &self,
        actor: &Identity,
        conversation: ConversationId,
        person: &PersonBody,
    ) -> Result<(Member, bool), ApiError> {
        self.count_change(actor)?;
        self.member_of(actor, conversation).await?;
        let target = self.person(person).await?;
        self.perform(Write::AddMember { conversation, actor: actor.user, target, now: self.now() }, member).await
    }

    /// Takes somebody out, or (`target` is the actor) leaves.
    pub async fn remove_member(
        &self,
        actor: &Identity,
        conversation: ConversationId,
        target: UserId,
        new_owner: Option<UserId>,
    ) -> Result<(), ApiError> {
        self.count_change(actor)?;
        let write =
            Write::RemoveMember { conversation, actor: actor.user, target, successor: new_owner, now: self.now() };
        self.perform(write, member).await?;
        self.forget_strangers(target).await;
        Ok(())
    }

    pub async fn set_role(
        &self,
        actor: &Identity,
        conversation: ConversationId,
        target: UserId,
        role: Role,
    ) -> Result<Member, ApiError> {
        self.count_change(actor)?;
        Ok(self
            .perform(Write::SetRole { conversation, actor: actor.user, target, role, now: self.now() }, member)
            .await?
            .0)
    }
}
