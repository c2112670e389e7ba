//! Every number of the engine, by name.

/// Unit and default of each are in its line; the name ends in the unit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// UTF-8 bytes of a message's body, until the server has said its own limit. 4096.
    pub body_max_bytes: usize,
    /// Things that wait in the outbox, all conversations together; more are refused. 10000.
    pub outbox_len_max: usize,
    /// Sends of one conversation under way at once. 16.
    pub sends_in_flight_max: usize,
    /// Outbox requests under way at once, all conversations together. 64.
    pub in_flight_max: usize,
    /// Without an answer for so long the connection counts as dead. 15000.
    pub answer_timeout_ms: u64,
    /// The same where the answer is a page of the difference or of history. 60000.
    pub page_timeout_ms: u64,
    /// How long a connection may take to open. 20000.
    pub open_timeout_ms: u64,
    /// How long a missing `rev` may take before the difference is asked for. 500.
    pub gap_patience_ms: u64,
    /// Events of one conversation that are kept while one before them is missing. 64.
    pub gap_events_max: usize,
    /// Conversations in which something is missing at once; of more nothing is kept. 64.
    pub gaps_max: usize,
    /// While connected the difference is asked for so often, whatever was heard. 30000.
    pub check_every_ms: u64,
    /// How long a read watermark waits for a higher one. 300.
    pub read_delay_ms: u64,
    /// How long a delivered watermark waits for a higher one, in a conversation of two; 10 more per member. 1000.
    pub delivered_delay_ms: u64,
    /// Messages of a page that fills a hole. 50.
    pub history_page: i64,
    /// Conversations whose holes are being filled at once. 32.
    pub fills_max: usize,
    /// A sign that I write is repeated no sooner than this. 3000.
    pub typing_every_ms: u64,
    /// How long somebody's typing shows without a new sign. 6000.
    pub typing_expiry_ms: u64,
    /// People who type, and people whose presence is known, at most. 1000.
    pub signs_max: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            body_max_bytes: 4096,
            outbox_len_max: 10_000,
            sends_in_flight_max: 16,
            in_flight_max: 64,
            answer_timeout_ms: 15_000,
            page_timeout_ms: 60_000,
            open_timeout_ms: 20_000,
            gap_patience_ms: 500,
            gap_events_max: 64,
            gaps_max: 64,
            check_every_ms: 30_000,
            read_delay_ms: 300,
            delivered_delay_ms: 1000,
            history_page: 50,
            fills_max: 32,
            typing_every_ms: 3000,
            typing_expiry_ms: 6000,
            signs_max: 1000,
        }
    }
}
