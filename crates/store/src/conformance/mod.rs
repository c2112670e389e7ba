//! What every home must pass, in sentences.
//!
//! A home's tests say how one is opened ([`Home`]) and expand [`conformance_tests!`](crate::conformance_tests): one test for each scenario, under
//! its own name. What a scenario asserts is what both homes promise; where they may differ, no scenario looks.
//!
//! The way through: [`world`] is what a test holds, [`writes`] its vocabulary, `house` the rules it plays by, [`replica`] a client that applies
//! differences, [`listening`] one that hears what happens as well, [`book`] the devices that are notified, [`hooks`] the programs that are told, [`random`] a whole life against a ledger; the other files are scenarios by topic. A new scenario is a
//! `pub async fn a_sentence(home: &impl Home)` and a line in the macro's list.

#![allow(clippy::expect_used, clippy::panic, reason = "a suite of tests: a broken expectation is to stop it")]

pub mod asking;
pub mod book;
pub mod devices;
pub mod difference;
pub mod failing;
pub mod holding;
pub mod hooks;
pub mod house;
pub mod jobs;
pub mod ledger;
pub mod lines;
pub mod listening;
pub mod log;
pub mod members;
pub mod messages;
pub mod paging;
pub mod people;
pub mod push;
pub mod pushed;
pub mod random;
pub mod reading;
pub mod replica;
pub mod search;
pub mod sink;
pub mod traces;
pub mod watermarks;
pub mod webhooks;
pub mod world;
pub mod writes;

use std::future::Future;
use std::sync::Arc;

use crate::{CommitSink, Rules, Store};

/// How a home is opened in a test.
pub trait Home {
    /// A fresh, empty log; each call another one. What it needs lives as long as `self`.
    fn open(&self, rules: Arc<dyn Rules>, sink: Arc<dyn CommitSink>) -> impl Future<Output = Arc<dyn Store>>;
}

/// One `#[tokio::test]` for each scenario, against the [`Home`] that the expression makes anew each time. The caller needs tokio with its
/// features `macros` and `rt`.
#[macro_export]
macro_rules! conformance_tests {
    ($home:expr) => {
        $crate::conformance_tests! { @topics $home;
            log: [
                a_new_conversation_starts_at_seq_0_and_rev_1,
                seq_is_gap_free_from_1_and_apart_for_each_conversation,
                each_change_takes_one_rev,
                a_message_is_kept_as_it_was_sent,
                a_resent_message_keeps_its_first_seq,
                a_resent_message_is_answered_as_it_is_now,
                a_message_resent_to_another_conversation_is_still_the_first_one,
                a_resent_message_is_answered_before_the_rules_are_asked,
                a_message_sent_twice_in_one_burst_is_in_the_log_once,
                the_same_client_msg_id_of_two_people_is_two_messages,
                a_message_after_one_that_is_not_in_the_log_is_out_of_order,
                a_chain_of_messages_is_taken_whole_or_from_its_first_refusal_on_not_at_all,
                what_is_not_there_is_not_found_and_the_rules_are_not_asked,
                the_results_of_one_caller_leave_in_the_order_of_the_submits,
                the_results_of_many_callers_leave_in_commit_order,
                the_position_grows_with_every_change_that_people_see,
                messages_queue_one_notification_job_per_conversation_however_many,
            ],
            asking: [
                the_rules_are_asked_with_the_facts_of_a_message,
                in_a_dm_the_rules_hear_of_the_other_person,
                the_rules_are_asked_with_the_facts_of_a_membership,
                the_rules_are_asked_about_everything_else_too,
                the_rules_are_asked_about_each_person_of_a_new_conversation,
                whether_one_may_write_to_oneself_is_a_question_for_the_rules,
                a_group_with_somebody_who_refuses_is_not_made_at_all,
                facts_are_those_of_the_moment_within_a_burst_too,
                a_refusal_changes_nothing,
                a_refusal_in_a_burst_leaves_its_neighbours_alone,
                a_stranger_is_answered_by_the_rules_and_sees_nothing,
            ],
            watermarks: [
                watermarks_move_forward_only_and_read_implies_delivered,
                a_watermark_above_the_logs_end_means_the_logs_end,
                the_row_of_a_moved_watermark_bears_the_rev_of_its_change,
                sending_moves_ones_own_watermarks_and_nobody_elses,
                a_resent_message_moves_no_watermark,
                unread_leaves_out_what_was_deleted_above_the_watermark,
            ],
            messages: [
                an_edit_bears_its_rev_and_keeps_the_seq,
                an_edit_to_the_same_body_changes_nothing,
                a_deleted_message_leaves_a_tombstone_without_body_and_reactions,
                the_last_message_may_be_a_tombstone,
                reactions_are_shown_first_come_first_whatever_the_clock_says,
                a_reaction_that_is_there_and_one_that_is_not_change_nothing,
                a_reaction_over_the_limit_is_too_large,
                a_change_names_a_message_of_its_own_conversation,
                what_was_said_before_one_came_can_not_be_changed,
                a_reply_is_to_a_message_of_the_same_conversation_that_one_may_see,
                a_reply_may_follow_in_the_same_burst,
                a_reaction_says_where_it_belongs,
                a_change_names_those_who_came_after_the_message,
            ],
            members: [
                a_dm_shows_each_the_other,
                a_pair_has_one_dm_however_often_and_from_whichever_side_it_is_opened,
                opening_a_dm_that_is_there_answers_how_it_is_now,
                opening_a_dm_that_one_had_hidden_brings_it_back,
                people_who_are_not_there_are_not_found,
                a_group_begins_with_its_owner_and_everybody_once,
                a_new_title_is_everybodys_and_the_same_title_is_no_change,
                a_new_member_of_a_joined_group_sees_what_came_after,
                a_new_member_of_an_open_group_sees_everything,
                adding_a_member_twice_changes_nothing,
                a_removed_member_sees_nothing_any_more,
                a_member_who_comes_back_begins_anew,
                who_leaves_may_name_the_next_owner,
                a_role_is_given_once,
                a_new_name_is_shown_by_every_conversation_and_takes_a_rev_of_each,
            ],
            reading: [
                a_history_is_read_from_both_ends_and_says_whether_there_is_more,
                an_empty_history_is_a_page,
                a_history_ends_where_the_member_came,
                nothing_is_known_after_a_message_that_is_not_there,
                the_list_shows_the_newest_activity_first,
                the_lists_last_messages_bear_their_own_reactions,
                the_pages_of_a_list_have_no_doubles_and_no_gaps,
                a_page_of_the_list_is_not_moved_by_what_happens_meanwhile,
                a_hidden_conversation_stays_out_of_the_list_until_something_new_arrives,
                muting_is_for_me_alone_and_no_change_of_the_conversation,
            ],
            difference: [
                a_difference_of_nothing_is_empty,
                a_difference_brings_only_the_rows_that_changed,
                state_and_difference_make_a_fresh_fetch_for_every_kind_of_change,
                a_blocked_person_is_shown_as_such_on_ones_other_devices,
                what_only_i_see_is_in_my_difference_alone_and_takes_no_rev,
                a_difference_shows_nothing_of_other_peoples_conversations,
                who_is_added_gets_the_whole_conversation_whatever_the_cursor,
                who_is_removed_is_told_once_and_starts_anew_when_added_again,
                who_was_removed_and_added_between_two_looks_is_a_member,
                what_changed_for_several_people_is_named_to_each,
                a_member_who_left_is_told_to_the_others_as_removed,
            ],
            paging: [
                a_difference_in_pages_brings_every_conversation_once,
                a_page_of_long_messages_ends_before_it_grows_heavy,
                writes_between_the_pages_of_a_difference_are_not_lost,
                who_leaves_between_the_pages_of_the_very_first_difference_is_told,
                who_left_while_one_was_away_between_two_looks_is_told,
                a_difference_in_pages_ends_however_much_is_written_meanwhile,
                a_page_applied_twice_does_no_harm,
                a_conversation_far_behind_sends_its_newest_page_and_tells_the_hole,
                a_page_that_holds_all_new_messages_tells_no_hole,
                who_is_added_to_a_long_open_group_gets_its_newest_page,
                more_old_messages_changed_than_a_page_holds_are_told_to_be_stale,
                exactly_a_page_of_old_messages_changed_makes_nothing_stale,
                an_edit_is_not_lost_in_the_hole_of_a_conversation_that_comes_twice_in_one_difference,
                an_edit_is_not_lost_in_the_hole_of_who_was_away_between_two_looks,
                who_fetches_while_others_write_misses_nothing,
            ],
            holding: [
                who_heard_everything_is_told_nothing_and_gets_a_newer_cursor,
                what_was_missed_is_told_by_exactly_its_rows,
                what_came_after_a_missed_change_is_told_too_though_it_was_heard,
                state_and_events_and_difference_make_a_fresh_fetch_for_every_kind_of_change,
                missed_messages_are_told_with_exactly_their_hole,
                a_hole_begins_behind_what_was_said_whatever_was_heard_since,
                old_messages_that_changed_are_told_and_only_those_over_a_page_are_stale,
                what_only_i_see_is_told_though_i_hold_everything,
                who_joined_since_gets_the_whole_conversation_whatever_they_hold,
                who_was_removed_is_told_once_whatever_they_hold,
                who_holds_more_than_the_log_starts_over,
                what_is_not_ones_own_is_neither_told_nor_guessed_by_claims,
                what_is_not_listed_is_told_as_of_the_cursor,
                what_is_held_counts_wherever_the_cursor_is,
                a_difference_in_pages_tells_what_is_not_held_and_each_conversation_once,
                without_a_list_a_difference_is_as_it_was,
            ],
            people: [
                a_user_is_created_once_per_e_mail,
                a_user_who_must_be_there_is_made_or_found_and_keeps_the_name,
                a_user_of_an_issuer_follows_it_and_takes_nobodys_e_mail,
                a_name_that_follows_the_issuer_is_shown_in_every_conversation,
                people_are_found_by_the_beginning_of_their_e_mail_only,
                an_e_mail_is_shown_to_those_who_share_a_conversation,
                a_session_is_opened_extended_and_ended,
                nobody_ends_the_session_of_another,
                a_person_sees_the_sessions_that_stand,
                one_sees_whom_one_has_blocked,
                an_api_key_is_known_by_its_hash_until_it_is_revoked,
                the_keys_that_stand_are_listed_in_pages,
                a_bot_and_its_key_are_made_together_or_not_at_all,
                a_log_has_one_epoch_and_one_secret,
                acquaintances_are_neither_strangers_nor_those_who_blocked_me,
                a_block_is_known_to_both_sides_of_a_dm_and_shown_to_one,
                more_blocks_than_one_may_have_are_too_large,
            ],
            search: [
                a_search_finds_any_substring_in_any_script,
                what_is_searched_is_text_and_never_a_language,
                hits_come_newest_first_and_no_more_than_asked,
                a_search_finds_only_what_one_may_see,
                an_edited_message_is_found_by_its_new_text_and_no_longer_by_the_old,
                a_deleted_message_is_never_found,
                a_message_edited_and_deleted_within_one_burst_is_indexed_as_it_ended,
                a_hit_is_the_whole_message,
            ],
            jobs: [
                jobs_come_by_priority_and_then_by_time,
                a_job_is_claimed_at_its_time_by_who_wants_its_kind,
                no_more_of_a_kind_are_claimed_than_it_has_room_for,
                a_ready_job_of_the_same_key_stays_and_keeps_the_earlier_time,
                a_running_job_leaves_room_for_another_of_its_key,
                a_lease_that_ended_is_claimed_again_and_counts_as_an_attempt,
                a_job_whose_worker_was_lost_at_its_last_attempt_is_dead,
                a_renewed_lease_lasts_and_who_is_late_renews_nothing,
                a_late_worker_changes_nothing,
                workers_at_once_never_get_the_same_job,
                a_failed_attempt_is_tried_again_at_its_time_with_its_reason,
                a_job_handed_back_is_as_if_it_had_not_been_claimed,
                a_job_whose_moment_it_was_not_keeps_its_tries_and_history_and_comes_at_its_time,
                a_dead_letter_keeps_its_history_and_is_retried_with_all_attempts,
                dead_letters_are_dropped_one_by_kind_or_by_age_so_many_at_a_time,
                a_retry_whose_key_is_ready_again_becomes_one_job_with_it,
                a_key_that_is_queued_again_all_the_time_runs_out_of_tries,
                of_several_jobs_of_a_key_the_oldest_payload_stands_for_all,
                a_dead_letter_whose_key_is_ready_becomes_one_job_with_it,
                a_job_of_the_future_is_not_claimed_before_its_time_and_is_after_it,
                a_job_of_a_clock_that_went_back_is_recalled_once_and_others_wait_as_they_were_to,
                a_lease_of_a_clock_that_went_back_is_cut_to_what_one_can_last,
                many_jobs_ahead_are_recalled_in_bounded_calls_of_the_kinds_named,
                what_a_job_queues_comes_with_its_end_or_not_at_all,
                a_batch_of_ends_is_answered_one_by_one,
                jobs_are_listed_in_pages_by_state_and_kind,
                the_queue_says_how_many_there_are_and_since_when,
                no_call_holds_more_than_its_bound,
                a_message_sent_while_its_notification_runs_queues_another,
                no_message_is_without_a_notification_while_workers_claim,
                sessions_that_expired_long_ago_are_forgotten_so_many_at_a_time,
            ],
            devices: [
                a_device_is_registered_as_it_says_and_shown_to_its_person_alone,
                a_device_registered_again_keeps_its_id_and_what_it_was_told,
                a_token_of_another_person_moves_and_takes_nothing_along,
                of_what_a_provider_took_each_devices_latest_is_told,
                a_refreshed_token_is_its_devices_and_what_was_told_stays_told,
                a_job_queued_before_its_device_has_another_token_is_for_that_one,
                what_a_device_tells_while_it_is_off_counts,
                more_devices_than_one_may_have_push_out_the_oldest,
                a_device_is_unregistered_by_its_person_alone,
                who_signs_out_is_not_notified_there_any_more,
                a_device_goes_when_what_registered_it_is_known_to_be_over,
                who_signs_in_removes_expired_sessions_with_their_devices,
                a_revoked_key_leaves_no_devices_and_registers_none,
                a_device_that_is_refused_again_and_again_is_switched_off,
                a_device_is_switched_off_only_for_the_token_that_failed,
                quiet_hours_are_kept_as_they_were_said,
                what_concerns_devices_is_no_change_of_the_log,
            ],
            push: [
                an_audience_is_whoever_has_not_seen_the_end,
                what_reached_one_device_is_news_on_the_others,
                what_devices_tell_in_one_burst_counts_for_each,
                an_audience_over_a_page_comes_whole_and_once,
                an_occasion_tells_what_the_device_has_not_seen,
                ones_own_messages_of_another_time_are_no_news,
                a_badge_is_the_sum_that_the_app_shows,
                a_notification_is_looked_for_when_the_message_says,
            ],
            pushed: [
                what_is_noted_moves_forward_only,
                what_was_read_is_taken_away_from_the_other_devices,
                who_answers_has_read_on_all_devices,
                who_leaves_has_all_of_it_taken_away,
                a_withdrawal_joins_a_ready_job_and_keeps_the_earlier_time,
                attempts_are_kept_by_message_until_they_are_cleaned_up,
                of_many_attempts_the_latest_are_kept,
            ],
            webhooks: [
                an_event_is_kept_only_where_somebody_wants_it,
                each_change_of_a_conversation_is_told_with_its_rev,
                what_changes_nothing_is_no_event,
                people_are_told_of_in_their_own_order,
                an_event_says_how_things_are_by_now,
                a_line_moves_when_its_events_are_taken_and_not_before,
                a_line_is_one_senders_until_its_lease_ends,
                a_failure_is_tried_again_by_the_schedule_with_the_same_events,
                an_endpoint_that_fails_to_the_end_is_off_and_goes_on_where_it_stood,
                whoever_wants_no_more_is_off_at_once,
                an_endpoint_is_owed_what_happens_since_it_was_added,
                a_replay_goes_back_and_never_forward,
                a_request_holds_so_many_events_and_bytes,
                events_and_positions_are_forgotten_when_they_are_old,
                a_secret_signs_beside_its_successor_until_the_rotation_ends,
                an_event_is_named_by_its_number_and_the_epoch_that_gave_it,
                events_of_one_moment_are_on_one_page_or_on_the_next,
                there_are_only_so_many_endpoints,
                a_burst_of_sends_is_told_whole_and_in_order,
            ],
            lines: [
                requests_are_kept_by_their_events_until_they_are_cleaned_up,
                of_many_requests_the_latest_are_kept,
                where_each_endpoint_stands_is_told_of_a_stream,
                a_replay_of_a_part_leaves_nothing_out_that_was_owed,
                what_goes_back_is_queued_with_that,
                a_line_that_is_never_taken_is_parked_while_others_are,
                a_parked_line_goes_on_behind_the_event_that_is_skipped,
                half_of_what_was_not_taken_is_tried_next,
                what_is_forgotten_before_it_is_taken_is_counted,
                positions_of_those_who_are_gone_are_cleaned_up_in_small_portions,
                lines_are_looked_at_by_pages,
            ],
            failing: [
                an_answer_about_what_was_sent_keeps_no_other_line_waiting,
                half_is_tried_after_the_third_of_any_answer,
                who_looked_before_another_failed_does_not_begin,
                who_looked_before_another_began_does_not_begin_with_less,
                what_was_tried_is_tried_again_whatever_clocks_said_of_it,
                who_looked_before_a_replay_does_not_begin_where_it_has_failed_since,
                who_looked_before_the_endpoint_failed_or_was_switched_on_does_not_begin,
                what_is_under_way_beside_a_failure_does_not_end_its_wait,
                a_clock_that_goes_back_keeps_no_line_waiting,
                who_is_switched_on_again_begins_anew_also_with_a_clock_that_went_back,
                what_happens_after_an_endpoint_was_added_is_told_whatever_the_clock_says,
            ],
            traces: [
                a_message_is_found_by_its_id_and_by_its_senders_name_for_it,
                what_was_noted_of_a_message_is_told_with_it_and_changes_nothing_else,
                a_trace_says_how_far_each_member_of_then_has_come,
                a_trace_says_to_whom_a_message_has_not_come_and_what_devices_they_have,
                of_many_to_whom_a_message_has_not_come_the_first_are_named,
                a_trace_shows_the_jobs_of_its_conversation,
                a_name_is_looked_for_among_what_was_noted_first,
                traces_that_are_old_or_too_many_are_forgotten_so_many_at_a_time,
                rows_of_a_clock_that_was_ahead_hide_no_older_ones,
            ],
            random: [
                a_random_life_keeps_the_promises,
            ],
        }
    };
    (@topics $home:expr; $($topic:ident: [$($scenario:ident),+ $(,)?]),+ $(,)?) => {
        $($(
            #[::tokio::test]
            async fn $scenario() {
                let home = $home;
                $crate::conformance::$topic::$scenario(&home).await;
            }
        )+)+
    };
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_scenario_is_in_the_list() {
        let list = include_str!("mod.rs");
        let topics = [
            include_str!("log.rs"),
            include_str!("asking.rs"),
            include_str!("watermarks.rs"),
            include_str!("messages.rs"),
            include_str!("members.rs"),
            include_str!("reading.rs"),
            include_str!("difference.rs"),
            include_str!("paging.rs"),
            include_str!("holding.rs"),
            include_str!("people.rs"),
            include_str!("search.rs"),
            include_str!("jobs.rs"),
            include_str!("devices.rs"),
            include_str!("push.rs"),
            include_str!("pushed.rs"),
            include_str!("webhooks.rs"),
            include_str!("lines.rs"),
            include_str!("failing.rs"),
            include_str!("traces.rs"),
            include_str!("random.rs"),
        ];
        for text in topics {
            let mut scenarios =
                text.split("\npub async fn ").skip(1).filter(|rest| rest.contains("(home: &impl Home)")).peekable();
            assert!(scenarios.peek().is_some(), "a topic has scenarios");
            for rest in scenarios {
                let (name, parameters) = rest.split_once('(').expect("a function has parameters");
                let is_scenario = parameters.starts_with("home: &impl Home)");
                assert!(
                    !is_scenario || list.contains(&format!("    {name},\n")),
                    "{name} is not in the list of conformance_tests!"
                );
            }
        }
    }
}
