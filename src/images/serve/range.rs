//! Which bytes of a blob a client asks for ([RFC 9110, section 14](https://www.rfc-editor.org/rfc/rfc9110#section-14)).

/// What a `Range` header comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Range {
    /// All of it: no range, one that makes no sense, or several, which a server need not honour.
    Whole,
    /// The bytes from `first` to `last`, both inside.
    Part {
        /// The first byte.
        first: u64,
        /// The last byte.
        last: u64,
    },
    /// It begins behind the end.
    Unsatisfiable,
}

impl Range {
    /// Reads the header's text for a blob of `size` bytes.
    pub(super) fn of(text: Option<&str>, size: u64) -> Self {
        let Some((first, last)) = text.and_then(|text| text.trim().strip_prefix("bytes=")?.split_once('-')) else {
            return Self::Whole;
        };
        // Digits only: Rust would read a sign too.
        let number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse::<u64>().ok())?;
        let end = size.saturating_sub(1);
        match (number(first), number(last)) {
            (Some(first), Some(last)) if last < first => Self::Whole,
            (Some(first), _) if first >= size && (last.is_empty() || number(last).is_some()) => Self::Unsatisfiable,
            (Some(first), Some(last)) => Self::Part { first, last: last.min(end) },
            (Some(first), None) if last.is_empty() => Self::Part { first, last: end },
            (None, Some(0)) if first.is_empty() => Self::Unsatisfiable,
            (None, Some(_)) if first.is_empty() && size == 0 => Self::Unsatisfiable,
            (None, Some(count)) if first.is_empty() => Self::Part { first: size.saturating_sub(count), last: end },
            _ => Self::Whole,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ranges_as_the_standard_says() {
        let part = |first, last| Range::Part { first, last };
        for (text, range) in [
            ("bytes=0-0", part(0, 0)),
            ("bytes=2-", part(2, 9)),
            ("bytes=2-99", part(2, 9)),
            ("bytes=-3", part(7, 9)),
            ("bytes=-99", part(0, 9)),
            ("bytes=10-", Range::Unsatisfiable),
            ("bytes=10-12", Range::Unsatisfiable),
            ("bytes=-0", Range::Unsatisfiable),
            ("bytes=5-2", Range::Whole),
            ("bytes=a-b", Range::Whole),
            ("bytes=-", Range::Whole),
            ("bytes=+1-2", Range::Whole),
            ("bytes=0-1,3-4", Range::Whole),
            ("items=0-1", Range::Whole),
            ("", Range::Whole),
        ] {
            assert_eq!(Range::of(Some(text), 10), range, "{text}");
        }
        assert_eq!(Range::of(None, 10), Range::Whole);
        assert_eq!(Range::of(Some("bytes=-1"), 0), Range::Unsatisfiable);
    }

    proptest! {
        #[test]
        fn a_part_is_inside(text in "(bytes=)?[0-9+,-]{0,30}", size in any::<u64>()) {
            if let Range::Part { first, last } = Range::of(Some(&text), size) {
                prop_assert!(first <= last && last < size);
            }
        }
    }
}
