//! A terminal's push (SenseNebula Pass, API 1.3.0), as a request that is ready to be sent and made new in place.

use std::io::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// A request. Its record id and its picture are made new by [`Push::renew`], at the cost of a few bytes.
pub(crate) struct Push {
    request: Vec<u8>,
    uuid: usize,
    picture: Option<usize>,
}

const UUID: &str = "00000000-0000-4000-8000-000000000000";
/// Bytes of a picture's begin that stay as they are, so that it looks like a JPEG: a multiple of three, so that base64
/// goes on at a letter.
const JPEG_BEGIN: &[u8; 24] =
    b"\xFF\xD8\xFF\xE0\x00\x10JFIF\x00\x01\x01\x00\x00\x01\x00\x01\x00\x00\xFF\xDB\x00\x43";
/// Below this a body has no picture and is filled up with text.
const PICTURE_MIN: usize = 4096;

impl Push {
    /// A push whose body has about `bytes` bytes, to `path` from the device number `device`.
    pub(crate) fn new(path: &str, bytes: usize, device: usize) -> Self {
        let sn = format!("PSC700C0MC22F{device:05}");
        let empty = body(&sn, " ", "").len();
        let body = match bytes >= PICTURE_MIN {
            true => body(&sn, &picture((bytes - empty) / 4 * 3), ""),
            false => body(&sn, " ", &"r".repeat(bytes.saturating_sub(empty))),
        };
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: gateway\r\ncontent-type: application/json\r\nsn: {sn}\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        let request = head + &body;
        let begin = STANDARD.encode(JPEG_BEGIN);
        Self {
            uuid: request.find(UUID).unwrap_or_default(),
            picture: request.find(&begin).map(|at| at + begin.len()),
            request: request.into_bytes(),
        }
    }

    /// Makes it the record number `number` of the series `series`.
    pub(crate) fn renew(&mut self, series: u32, number: u64) -> &[u8] {
        let mut uuid = &mut self.request[self.uuid..];
        // Both fit: hexadecimal digits are base64 too.
        let _ = write!(uuid, "{series:08x}-0000-4000-8000-{number:012x}");
        if let Some(at) = self.picture {
            let mut picture = &mut self.request[at..];
            let _ = write!(picture, "{series:08x}{number:016x}");
        }
        &self.request
    }
}

fn body(sn: &str, picture: &str, remark: &str) -> String {
    format!(
        concat!(
            r#"{{"type":0,"data":{{"deviceSN":"{sn}","recognitionType":1,"entry_mode":1,"abnormal_type":0,"#,
            r#""uuid":"{uuid}","recognizeScore":0.9213758032532,"mask":1,"mode":3,"rgb_image":"{picture}","#,
            r#""bodyTemperature":36.5,"pass":true,"timestamp":1795334400,"user":{{"name":"Benchmark Person","#,
            r#""ic_number":"70012","id_number":"","job_number":"10442","pin":"","user_id":"77","#,
            r#""remark":"{remark}","guest_time_start":0,"guest_time_end":0,"type":1,"#,
            r#""groups":[{{"id":"3","name":"North"}},{{"id":"4","name":"Night shift"}}]}}}}}}"#,
        ),
        sn = sn,
        uuid = UUID,
        picture = picture,
        remark = remark,
    )
}

/// Base64 of something that begins and ends like a JPEG, of about `bytes` bytes, and cannot be compressed.
fn picture(bytes: usize) -> String {
    let mut picture = JPEG_BEGIN.to_vec();
    let mut random = 0x9E37_79B9_7F4A_7C15_u64;
    while picture.len() + 2 < bytes {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        picture.extend_from_slice(&random.to_le_bytes());
    }
    picture.extend_from_slice(b"\xFF\xD9");
    STANDARD.encode(picture)
}

#[cfg(test)]
mod tests {
    use super::Push;

    #[test]
    fn each_is_new_and_of_the_same_length() {
        for bytes in [1_024, 102_400] {
            let mut push = Push::new("/in/bench", bytes, 3);
            let one = push.renew(7, 1).to_vec();
            let two = push.renew(7, 2).to_vec();
            assert_eq!(one.len(), two.len());
            let body = one.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4;
            assert!(
                (one.len() - body).abs_diff(bytes) < 16,
                "{}",
                one.len() - body
            );
            let changes = one.iter().zip(&two).filter(|(one, two)| one != two).count();
            assert_eq!(changes, if bytes > 4096 { 2 } else { 1 });
        }
    }
}
