//! Times as RFC 3339.

use std::time::Duration;

use jiff::Timestamp;

/// A time since the Unix epoch as RFC 3339 in UTC, to the millisecond; `None` if it is outside the calendar.
pub(super) fn rfc3339(since_epoch: Duration) -> Option<String> {
    let millis = i64::try_from(since_epoch.as_millis()).ok()?;
    Timestamp::from_millisecond(millis).ok().map(|t| t.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_utc() {
        assert_eq!(rfc3339(Duration::from_secs(1_795_197_600)).unwrap(), "2026-11-20T18:00:00Z");
        assert_eq!(rfc3339(Duration::from_millis(1_795_197_600_250)).unwrap(), "2026-11-20T18:00:00.25Z");
        assert_eq!(rfc3339(Duration::MAX), None);
    }
}
