//! The head of an ordinary request that carries heartbeats (RFC 9112): read without a router, because nearly every
//! request that a server of heartbeats gets is one.
//!
//! Ordinary is a `POST /api/v1/heartbeats` with a token, a length and no header that could change what it means. What is
//! anything else is left, untouched, to whoever understands all of HTTP.

use crate::batch::HEARTBEATS;

/// Every ordinary request begins so.
const LINE: &[u8] = b"POST /api/v1/heartbeats HTTP/1.1\r\n";
/// The path in it.
pub const PATH: &str = "/api/v1/heartbeats";
/// Most headers that an ordinary request has.
const HEADERS: usize = 16;

/// What the bytes that came so far begin with.
#[derive(Debug, PartialEq, Eq)]
pub enum Begun<'a> {
    /// The head of an ordinary request, all of it.
    Ordinary(Ordinary<'a>),
    /// It may become one; more bytes will tell.
    Unknown,
    /// Something else.
    Other,
}

/// The head of an ordinary request.
#[derive(Debug, PartialEq, Eq)]
pub struct Ordinary<'a> {
    /// The bearer token it shows.
    pub token: &'a str,
    /// Whether the body is a batch of bytes, by its content type. Anything else is taken for JSON.
    pub is_batch: bool,
    /// Whether the sender takes JSON for an answer even to a batch.
    pub accepts_json: bool,
    /// Bytes of the head, the empty line included; the body follows.
    pub head: usize,
    /// Bytes of the body.
    pub body: usize,
}

/// Reads the head that `bytes` begin with. One longer than `most` bytes is not ordinary.
pub fn begun(bytes: &[u8], most: usize) -> Begun<'_> {
    let Some(after_line) = bytes.strip_prefix(LINE) else {
        return if LINE.starts_with(bytes) { Begun::Unknown } else { Begun::Other };
    };
    let mut headers = [httparse::EMPTY_HEADER; HEADERS];
    match httparse::parse_headers(after_line, &mut headers) {
        Ok(httparse::Status::Complete((length, headers))) => match ordinary(headers) {
            Some(ordinary) if LINE.len() + length <= most => {
                Begun::Ordinary(Ordinary { head: LINE.len() + length, ..ordinary })
            }
            _ => Begun::Other,
        },
        Ok(httparse::Status::Partial) if bytes.len() < most => Begun::Unknown,
        Ok(httparse::Status::Partial) | Err(_) => Begun::Other,
    }
}

fn ordinary<'a>(headers: &[httparse::Header<'a>]) -> Option<Ordinary<'a>> {
    let (mut token, mut body, mut content_type, mut accept) = (None, None, None, None);
    for header in headers {
        let name = header.name;
        let is = |known: &str| name.eq_ignore_ascii_case(known);
        let once = |place: &mut Option<&'a str>| {
            let text = text(header.value)?;
            place.replace(text).is_none().then_some(())
        };
        // By length first: it tells most of them apart.
        match name.len() {
            4 if is("host") => {}
            6 if is("accept") => once(&mut accept)?,
            10 if is("user-agent") => {}
            10 if is("connection") && header.value.eq_ignore_ascii_case(b"keep-alive") => {}
            12 if is("content-type") => once(&mut content_type)?,
            13 if is("authorization") => once(&mut token)?,
            14 if is("content-length") => once(&mut body)?,
            // No answer is packed.
            15 if is("accept-encoding") => {}
            _ => return None,
        }
    }
    let (scheme, token) = token?.split_once(' ')?;
    let body =
        body.filter(|digits| !digits.is_empty() && digits.bytes().all(|digit| digit.is_ascii_digit()))?;
    Some(Ordinary {
        token: scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())?,
        is_batch: content_type.is_some_and(|value| names(value, HEARTBEATS)),
        accepts_json: accept.is_some_and(|value| names(value, "application/json")),
        head: 0,
        body: body.parse().ok()?,
    })
}

/// A header's value as text; `None`: it has other bytes than visible ASCII and spaces.
fn text(value: &[u8]) -> Option<&str> {
    let is_visible = value.iter().all(|byte| matches!(byte, 0x20..=0x7e | b'\t'));
    std::str::from_utf8(value).ok().filter(|_| is_visible)
}

/// Whether a header's value names this media type, parameters aside.
pub fn names(value: &str, media_type: &str) -> bool {
    value
        .split(',')
        .filter_map(|one| one.split(';').next())
        .any(|named| named.trim().eq_ignore_ascii_case(media_type))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOST: usize = 1024;

    fn with(headers: &str) -> String {
        format!("POST /api/v1/heartbeats HTTP/1.1\r\nHost: life:7700\r\n{headers}\r\n")
    }

    fn ordinary_with(headers: &str) -> Option<(String, bool, bool, usize)> {
        match begun(with(headers).as_bytes(), MOST) {
            Begun::Ordinary(of) => Some((of.token.to_owned(), of.is_batch, of.accepts_json, of.body)),
            Begun::Unknown | Begun::Other => None,
        }
    }

    const TOKEN: &str = "Authorization: Bearer t0ken\r\n";

    #[test]
    fn what_common_clients_send_is_ordinary() {
        let curl = format!(
            "{TOKEN}User-Agent: curl/7.88.1\r\nAccept: */*\r\nContent-Type: application/json\r\nContent-Length: 23\r\n"
        );
        assert_eq!(ordinary_with(&curl), Some(("t0ken".into(), false, false, 23)));
        let python = format!(
            "User-Agent: python-requests/2.28.1\r\naccept-encoding: gzip, deflate\r\naccept: */*\r\n\
             connection: keep-alive\r\ncontent-length: 23\r\n{TOKEN}content-type: application/json\r\n"
        );
        assert_eq!(ordinary_with(&python), Some(("t0ken".into(), false, false, 23)));
        let batch = format!(
            "{TOKEN}Content-Type: application/vnd.lifesign.heartbeats; v=1\r\n\
             Accept: text/plain, Application/JSON;q=0.9\r\nContent-Length: 0\r\n"
        );
        assert_eq!(ordinary_with(&batch), Some(("t0ken".into(), true, true, 0)));
    }

    #[test]
    fn what_could_mean_something_else_is_not_ordinary() {
        let length = "Content-Length: 2\r\n";
        assert!(ordinary_with(&format!("{TOKEN}{length}")).is_some());
        for other in [
            TOKEN.to_owned(),
            length.to_owned(),
            format!("{TOKEN}{TOKEN}{length}"),
            format!("{TOKEN}{length}{length}"),
            format!("{TOKEN}Content-Length: +2\r\n"),
            format!("{TOKEN}Content-Length: \r\n"),
            format!("{TOKEN}Content-Length: 99999999999999999999999\r\n"),
            format!("{TOKEN}{length}Transfer-Encoding: chunked\r\n"),
            format!("{TOKEN}{length}Expect: 100-continue\r\n"),
            format!("{TOKEN}{length}Connection: close\r\n"),
            format!("{TOKEN}{length}Connection: upgrade\r\n"),
            format!("{TOKEN}{length}X-Forwarded-For: 192.0.2.1\r\n"),
            format!("{TOKEN}{length}Cookie: a=b\r\n"),
            format!("Authorization: Basic dDBrZW4=\r\n{length}"),
            format!("Authorization: Bearer t\u{e4}\r\n{length}"),
            format!("{TOKEN}{length}{}", "Accept-Encoding: gzip\r\n".repeat(HEADERS)),
            format!("{TOKEN}{length}no header at all\r\n"),
        ] {
            assert_eq!(begun(with(&other).as_bytes(), MOST), Begun::Other, "{other}");
        }
        for line in [
            "GET /api/v1/heartbeats HTTP/1.1\r\n\r\n",
            "POST /api/v1/heartbeats HTTP/1.0\r\n\r\n",
            "POST /api/v1/heartbeats?x=1 HTTP/1.1\r\n\r\n",
            "\x16\x03\x01",
        ] {
            assert_eq!(begun(line.as_bytes(), MOST), Begun::Other, "{line}");
        }
    }

    #[test]
    fn a_part_of_a_head_is_nothing_yet_until_it_is_too_long() {
        let whole = with(&format!("{TOKEN}Content-Length: 2\r\n"));
        for length in 0..whole.len() {
            assert_eq!(begun(&whole.as_bytes()[..length], MOST), Begun::Unknown, "{length}");
        }
        let more = format!("{whole}{{}}POST");
        let Begun::Ordinary(found) = begun(more.as_bytes(), MOST) else { panic!("it is all there") };
        assert_eq!((found.head, found.body), (whole.len(), 2));
        assert_eq!(begun(whole.as_bytes(), whole.len() - 1), Begun::Other);
        assert_eq!(begun(&whole.as_bytes()[..whole.len() - 1], whole.len() - 1), Begun::Other);
    }
}
