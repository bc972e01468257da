//! What goes over the wire: gRPC's frames, and Protocol Buffers of strings, which is all that the
//! echo's messages have. By hand, since generated code would need a compiler of its own to build.
//! <https://protobuf.dev/programming-guides/encoding/>

use std::collections::BTreeMap;

use axum::body::Bytes;

/// A message with gRPC's prefix: not compressed, and its length.
pub(super) fn frame(message: &[u8]) -> Bytes {
    let length = u32::try_from(message.len()).unwrap_or(u32::MAX).to_be_bytes();
    [&[0], length.as_slice(), message].concat().into()
}

/// The message of one frame.
///
/// # Errors
/// It is compressed or cut off.
pub(super) fn unframe(bytes: &[u8]) -> Result<&[u8], String> {
    let [compressed, a, b, c, d, rest @ ..] = bytes else {
        return Err("there is no message".to_owned());
    };
    if *compressed != 0 {
        return Err("the message is compressed".to_owned());
    }
    let mut rest = rest;
    take(&mut rest, u32::from_be_bytes([*a, *b, *c, *d]).into())
}

/// A message of these fields; one without text is left out.
pub(super) fn encode(fields: &[(u64, &str)]) -> Vec<u8> {
    let mut message = Vec::new();
    for (number, text) in fields.iter().filter(|(_, text)| !text.is_empty()) {
        push_varint(&mut message, number << 3 | 2);
        push_varint(&mut message, text.len() as u64);
        message.extend_from_slice(text.as_bytes());
    }
    message
}

/// The fields of a message that are strings.
///
/// # Errors
/// The message is not one of Protocol Buffers.
pub(super) fn decode(mut bytes: &[u8]) -> Result<BTreeMap<u64, String>, String> {
    let mut fields = BTreeMap::new();
    while !bytes.is_empty() {
        let tag = varint(&mut bytes)?;
        match tag & 7 {
            0 => {
                varint(&mut bytes)?;
            }
            1 => {
                take(&mut bytes, 8)?;
            }
            2 => {
                let length = varint(&mut bytes)?;
                let text = take(&mut bytes, length)?;
                fields.insert(tag >> 3, String::from_utf8_lossy(text).into_owned());
            }
            5 => {
                take(&mut bytes, 4)?;
            }
            other => return Err(format!("a field of the unknown wire type {other}")),
        }
    }
    Ok(fields)
}

fn take<'bytes>(bytes: &mut &'bytes [u8], length: u64) -> Result<&'bytes [u8], String> {
    let length = usize::try_from(length).unwrap_or(usize::MAX);
    let (taken, rest) = bytes.split_at_checked(length).ok_or("the message is cut off")?;
    *bytes = rest;
    Ok(taken)
}

fn varint(bytes: &mut &[u8]) -> Result<u64, String> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let byte = take(bytes, 1)?[0];
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok(value);
        }
    }
    Err("a number is too long".to_owned())
}

fn push_varint(message: &mut Vec<u8>, mut value: u64) {
    loop {
        let low = value.to_le_bytes()[0] & 0x7f;
        value >>= 7;
        if value == 0 {
            message.push(low);
            return;
        }
        message.push(low | 0x80);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_encoded_is_decoded() {
        let long = "ä".repeat(200);
        let message = encode(&[(1, "hello"), (2, ""), (3, &long)]);
        assert_eq!(&message[..7], b"\x0a\x05hello");
        assert_eq!(decode(&message), Ok(BTreeMap::from([(1, "hello".to_owned()), (3, long)])));
        assert_eq!(unframe(&frame(&message)), Ok(message.as_slice()));
    }

    #[test]
    fn fields_of_other_types_are_passed_over() {
        assert_eq!(decode(b"\x08\x96\x01\x15\x01\x02\x03\x04\x22\x01x"), Ok(BTreeMap::from([(4, "x".to_owned())])));
    }

    #[test]
    fn broken_messages_are_refused() {
        assert!(decode(b"\x0a\x05he").is_err_and(|error| error.contains("cut off")));
        assert!(decode(b"\x0f").is_err_and(|error| error.contains("wire type 7")));
        assert!(decode(&[0xff; 11]).is_err_and(|error| error.contains("too long")));
        assert!(unframe(b"\x01\0\0\0\0").is_err_and(|error| error.contains("compressed")));
        assert!(unframe(b"\0\0\0\0\x05he").is_err() && unframe(b"").is_err());
    }
}
