//! One question to a name server, as bytes: the check that a cluster's DNS answers is a real query.

/// The identity of our questions; an answer carries it too.
const ID: u16 = 0x1571;

/// A query for the IPv4 addresses of `name`, in the form for TCP: two bytes of length first
/// ([RFC 1035, 4.1 and 4.2.2](https://www.rfc-editor.org/rfc/rfc1035#section-4.2.2)).
#[must_use]
pub fn query(name: &str) -> Vec<u8> {
    let mut message = ID.to_be_bytes().to_vec();
    // Recursion desired; one question.
    message.extend_from_slice(&[0x01, 0x00, 0, 1, 0, 0, 0, 0, 0, 0]);
    for label in name.trim_end_matches('.').split('.') {
        // A label has at most 63 bytes; the names asked for here are constants that keep to it.
        let label = &label.as_bytes()[..label.len().min(63)];
        message.push(u8::try_from(label.len()).unwrap_or_default());
        message.extend_from_slice(label);
    }
    // The root, type A, class IN.
    message.extend_from_slice(&[0, 0, 1, 0, 1]);
    let mut framed = u16::try_from(message.len()).unwrap_or_default().to_be_bytes().to_vec();
    framed.extend(message);
    framed
}

/// Whether `answer` (with its two bytes of length) answers our question with at least one record.
///
/// # Errors
/// What is wrong with it, in words.
pub fn check(answer: &[u8]) -> Result<(), String> {
    let Some((header, _)) = answer.get(2..).and_then(|message| message.split_at_checked(12)) else {
        return Err(format!("an answer of {} bytes, which is too short", answer.len()));
    };
    if header[..2] != ID.to_be_bytes() || header[2] & 0x80 == 0 {
        return Err("something that is no answer to the question".to_owned());
    }
    let (code, records) = (header[3] & 0x0f, u16::from_be_bytes([header[6], header[7]]));
    match (code, records) {
        (0, 1..) => Ok(()),
        (0, 0) => Err("no address".to_owned()),
        (2, _) => Err("SERVFAIL".to_owned()),
        (3, _) => Err("NXDOMAIN".to_owned()),
        (5, _) => Err("REFUSED".to_owned()),
        (code, _) => Err(format!("the error code {code}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_as_the_standard_says() {
        let bytes = query("a.bc.");
        assert_eq!(bytes[..2], [0, 22]);
        assert_eq!(bytes.len(), 24);
        assert_eq!(bytes[14..], [1, b'a', 2, b'b', b'c', 0, 0, 1, 0, 1]);
    }

    #[test]
    fn answers_are_judged() {
        let answer = |flags: [u8; 2], count: u8| {
            let mut bytes = vec![0, 12, 0x15, 0x71];
            bytes.extend(flags);
            bytes.extend([0, 1, 0, count, 0, 0, 0, 0]);
            bytes
        };
        assert_eq!(check(&answer([0x85, 0x00], 1)), Ok(()));
        assert_eq!(check(&answer([0x85, 0x03], 0)), Err("NXDOMAIN".to_owned()));
        assert_eq!(check(&answer([0x85, 0x00], 0)), Err("no address".to_owned()));
        assert!(check(&answer([0x01, 0x00], 1)).is_err(), "our own question");
        assert!(check(&[]).is_err());
        assert!(check(&[0, 0]).is_err());
    }
}
