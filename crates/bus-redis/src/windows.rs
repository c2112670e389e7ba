//! Rate limits that all servers count together: sliding windows, each a sorted set of instants.

use redis::{RedisResult, Script};
use std::sync::LazyLock;

use crate::shared::Shared;

/// Takes one and answers 0, or takes none and answers how many milliseconds to wait. Redis' own clock, so that servers need not agree on theirs; one that took
/// over may be behind the one before, and what lies ahead of it by more than a second would count for as long as that is.
static TAKE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "local time = redis.call('TIME')
         local now = time[1] * 1000 + math.floor(time[2] / 1000)
         local count, window = tonumber(ARGV[1]), tonumber(ARGV[2])
         redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - window)
         redis.call('ZREMRANGEBYSCORE', KEYS[1], now + 1000, '+inf')
         if redis.call('ZCARD', KEYS[1]) >= count then
             local first = redis.call('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES')
             return math.max(1, tonumber(first[2]) + window - now)
         end
         redis.call('ZADD', KEYS[1], now, time[1] .. ':' .. time[2] .. ':' .. ARGV[3])
         redis.call('PEXPIRE', KEYS[1], window)
         return 0",
    )
});

/// At most `count` in `window_ms` for this key, over all servers. `Err(ms)`: refused, and how long to wait.
pub async fn take(
    shared: &Shared,
    name: &str,
    count: u32,
    window_ms: i64,
    unique: u64,
) -> RedisResult<Result<(), u64>> {
    let key = format!("{}:rate:{name}", shared.prefix);
    let unique = format!("{}:{unique}", shared.me);
    let wait: u64 = shared
        .link
        .ask(async |commands| TAKE.key(&key).arg(count).arg(window_ms).arg(&unique).invoke_async(commands).await)
        .await?;
    Ok(if wait == 0 { Ok(()) } else { Err(wait) })
}
