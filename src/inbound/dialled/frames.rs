//! Texts of a websocket as the bytes that they are.
//!
//! A text message that is no UTF-8 breaks a connection off (RFC 6455, 8.1), and the library does so before the adapter could
//! read the message. But a box whose name field cuts a character sends such texts day after day, and one unreadable
//! message shall cost one message. So what comes in is changed before the library sees it: frames that begin a text
//! begin a binary message instead, whose bytes the library does not check. Whether they can be read, the adapter says.

/// Follows the bytes that come in, and changes the frames that begin a text.
#[derive(Debug, Default)]
pub(super) struct Frames {
    at: At,
}

/// What the next byte is of.
#[derive(Debug)]
enum At {
    /// The answer to the handshake; so many of the four bytes that end it have come.
    Handshake(usize),
    /// A frame's first byte.
    Begin,
    /// Its second: whether it is masked, and its length, or how long its length is.
    Length,
    /// Its long length: so many bytes of it are to come, and what they have told so far.
    LongLength {
        bytes: usize,
        length: u64,
        masked: bool,
    },
    /// What is to be passed over.
    Rest(u64),
}

impl Default for At {
    fn default() -> Self {
        Self::Handshake(0)
    }
}

const HANDSHAKE_END: &[u8] = b"\r\n\r\n";
const OPCODE: u8 = 0x0F;
const TEXT: u8 = 1;
const BINARY: u8 = 2;
const MASKED: u8 = 0x80;
const MASK_BYTES: u64 = 4;

impl Frames {
    /// Changes the next bytes, however they are cut.
    pub(super) fn pass(&mut self, mut bytes: &mut [u8]) {
        while let Some(byte) = bytes.first_mut() {
            let mut taken = 1;
            self.at = match self.at {
                At::Handshake(met) => match (*byte == HANDSHAKE_END[met], *byte) {
                    (true, _) if met + 1 == HANDSHAKE_END.len() => At::Begin,
                    (true, _) => At::Handshake(met + 1),
                    (false, b'\r') => At::Handshake(1),
                    (false, _) => At::Handshake(0),
                },
                At::Begin => {
                    if *byte & OPCODE == TEXT {
                        *byte = *byte & !OPCODE | BINARY;
                    }
                    At::Length
                }
                At::Length => length(*byte),
                At::LongLength {
                    bytes,
                    length,
                    masked,
                } => long_length(bytes - 1, length << 8 | u64::from(*byte), masked),
                At::Rest(rest) => {
                    let here = u64::try_from(bytes.len()).unwrap_or(u64::MAX).min(rest);
                    taken = usize::try_from(here).unwrap_or(bytes.len());
                    behind(rest - here)
                }
            };
            bytes = &mut bytes[taken..];
        }
    }
}

const fn length(byte: u8) -> At {
    let masked = byte & MASKED != 0;
    match byte & !MASKED {
        126 => long_length(2, 0, masked),
        127 => long_length(8, 0, masked),
        short => long_length(0, short as u64, masked),
    }
}

const fn long_length(bytes: usize, length: u64, masked: bool) -> At {
    match bytes {
        0 if masked => behind(length.saturating_add(MASK_BYTES)),
        0 => behind(length),
        bytes => At::LongLength {
            bytes,
            length,
            masked,
        },
    }
}

/// A frame without a content is over at once.
const fn behind(rest: u64) -> At {
    match rest {
        0 => At::Begin,
        rest => At::Rest(rest),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::Frames;

    const HANDSHAKE: &[u8] =
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nX: \r\x81\x01\r\n\r\n";

    fn frame(first: u8, masked: bool, content: &[u8]) -> Vec<u8> {
        let mut frame = vec![first];
        let mask = u8::from(masked) << 7;
        match content.len() {
            short @ 0..126 => frame.push(mask | short as u8),
            long @ 126..0x1_0000 => {
                frame.push(mask | 126);
                frame.extend_from_slice(&(long as u16).to_be_bytes());
            }
            long => {
                frame.push(mask | 127);
                frame.extend_from_slice(&(long as u64).to_be_bytes());
            }
        }
        if masked {
            frame.extend_from_slice(b"\x81\x01\x81\x01");
        }
        frame.extend_from_slice(content);
        frame
    }

    /// Passes the bytes in pieces of these sizes.
    fn passed(bytes: &[u8], sizes: &[usize]) -> Vec<u8> {
        let mut frames = Frames::default();
        let mut bytes = bytes.to_vec();
        let mut rest = bytes.as_mut_slice();
        let mut sizes = sizes.iter().cycle();
        while !rest.is_empty() {
            let size = sizes
                .next()
                .map_or(rest.len(), |size| *size)
                .min(rest.len());
            let (piece, behind) = rest.split_at_mut(size);
            frames.pass(piece);
            rest = behind;
        }
        bytes
    }

    #[test]
    fn only_the_beginning_of_a_text_is_changed() {
        let sent = [
            HANDSHAKE,
            // A text in one, in two with a ping between, one with a reserved bit, and others.
            &frame(0x81, false, b"\x81\x01"),
            &frame(0x01, false, &[0x81; 200]),
            &frame(0x89, false, b""),
            &frame(0x80, true, &[0x81; 70_000]),
            &frame(0xC1, false, b""),
            &frame(0x82, true, b"\x81"),
            &frame(0x88, false, b"\x03\xE8"),
        ];
        let expected = [
            HANDSHAKE,
            &frame(0x82, false, b"\x81\x01"),
            &frame(0x02, false, &[0x81; 200]),
            &frame(0x89, false, b""),
            &frame(0x80, true, &[0x81; 70_000]),
            &frame(0xC2, false, b""),
            &frame(0x82, true, b"\x81"),
            &frame(0x88, false, b"\x03\xE8"),
        ];
        for sizes in [[usize::MAX].as_slice(), &[1], &[3, 1, 7], &[4096]] {
            assert!(
                passed(&sent.concat(), sizes) == expected.concat(),
                "{sizes:?}"
            );
        }
    }

    proptest! {
        /// Whatever the frames are, and however they are cut: their beginnings change, and nothing else.
        #[test]
        fn any_frames_in_any_pieces(
            frames in prop::collection::vec((any::<u8>(), any::<bool>(), prop_oneof![0..300_usize, 65_500..65_600_usize]), 0..6),
            sizes in prop::collection::vec(1..400_usize, 1..6),
        ) {
            let (mut sent, mut expected) = (HANDSHAKE.to_vec(), HANDSHAKE.to_vec());
            for (first, masked, length) in frames {
                let content = vec![0x81; length];
                sent.extend(frame(first, masked, &content));
                let changed = if first & 0x0F == 1 { first + 1 } else { first };
                expected.extend(frame(changed, masked, &content));
            }
            prop_assert!(passed(&sent, &sizes) == expected);
        }

        #[test]
        fn any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..300), sizes in prop::collection::vec(1..9_usize, 1..3)) {
            let bytes = [b"\r\n\r\n", bytes.as_slice()].concat();
            prop_assert_eq!(passed(&bytes, &sizes), passed(&bytes, &[usize::MAX]));
        }
    }
}
