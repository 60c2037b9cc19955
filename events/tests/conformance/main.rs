//! One suite over both backends of the log: embedded always, Kafka when `EVGATE_TEST_KAFKA` names a broker (`make test`).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod child;
mod embedded_only;
mod kafka_only;
mod rig;
mod suite;

macro_rules! conformance {
    ($($name:ident)*) => {
        mod embedded {
            use crate::{rig::{Embedded, limited}, suite};
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                limited(suite::$name(&Embedded::new())).await;
            })*
        }
        mod kafka {
            use crate::{rig::{Kafka, limited}, suite};
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            #[ignore = "needs Kafka: run `make test`"]
            async fn $name() {
                limited(suite::$name(&Kafka::new())).await;
            })*
        }
    };
}

conformance! {
    records_come_back_as_they_were
    order_per_key
    an_ack_means_durable
    a_killed_consumer_is_resumed_after_its_commit
    members_of_a_group_share_and_each_record_comes_once
    groups_are_independent
    tail_from_beginning_end_and_time
    compacted_topic_keeps_the_last_value
    a_full_queue_refuses_and_does_not_grow
    a_large_record_is_refused
    at_end_is_the_truth
    flush_waits_for_what_was_taken
    a_dropped_poll_loses_nothing
    every_topic_of_a_subscription_is_read
    a_stale_commit_moves_nothing_back
    a_reader_with_positions_of_its_own_begins_after_them
    a_partition_taken_over_begins_where_the_reader_stands
    a_reader_sees_what_is_around_its_position
    a_log_that_ends_before_the_readers_position_fails
}
