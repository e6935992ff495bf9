//! Where an HTTP answer sends us, and what may go there with us (RFC 9110 §15.4).

use http::StatusCode;
use http::header::LOCATION;
use http::response::Parts;
use lifesign_config::Url;

/// What the `Location` of a redirect says.
pub(crate) fn location(head: &Parts) -> Option<&str> {
    matches!(head.status.as_u16(), 301 | 302 | 303 | 307 | 308)
        .then(|| head.headers.get(LOCATION)?.to_str().ok())
        .flatten()
}

/// Whether the same request is made again; otherwise it becomes a `GET` without a body.
pub(crate) fn keeps_method(status: StatusCode) -> bool {
    matches!(status, StatusCode::TEMPORARY_REDIRECT | StatusCode::PERMANENT_REDIRECT)
}

/// Whether both have the same scheme, host and port: then they may see the same secrets.
pub(crate) fn is_same_origin(one: &Url, other: &Url) -> bool {
    one.tls == other.tls && one.host == other.host && one.port == other.port
}

/// The URL that `location` means in an answer from `base` (RFC 3986 §5.2, dot segments left to the server).
///
/// # Errors
/// What is wrong with it. The text itself is not repeated: redirects carry tokens.
pub(crate) fn join(base: &Url, location: &str) -> Result<Url, &'static str> {
    let scheme = if base.tls { "https" } else { "http" };
    let authority = base.authority();
    let path = base.target().split('?').next().unwrap_or("/");
    let is_scheme =
        |head: &str| !head.is_empty() && head.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c));
    let is_absolute = location.split_once(':').is_some_and(|(head, _)| is_scheme(head));
    Url::parse(&if is_absolute {
        location.to_owned()
    } else if location.starts_with("//") {
        format!("{scheme}:{location}")
    } else if location.starts_with('/') {
        format!("{scheme}://{authority}{location}")
    } else if location.starts_with('?') {
        format!("{scheme}://{authority}{path}{location}")
    } else if location.is_empty() || location.starts_with('#') {
        base.expose()
    } else {
        let folder = path.rfind('/').map_or("/", |end| &path[..=end]);
        format!("{scheme}://{authority}{folder}{location}")
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_location_is_taken_relative_to_the_url() {
        let base = Url::parse("http://a:81/b/c?d").unwrap();
        for (location, joined) in [
            ("https://e/f", "https://e/f"),
            ("//e/f", "http://e/f"),
            ("/f?g#h", "http://a:81/f?g"),
            ("f", "http://a:81/b/f"),
            ("?x:y", "http://a:81/b/c?x:y"),
            ("#h", "http://a:81/b/c?d"),
        ] {
            assert_eq!(join(&base, location).unwrap().expose(), joined, "{location}");
        }
        for wrong in ["ftp://e/", "http://", "mailto:x", "/a b"] {
            assert!(join(&base, wrong).is_err(), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn any_location_leads_somewhere_or_is_an_error(location in "[a-z:/?#.@\\[\\]%]{0,20}|\\PC{0,20}") {
            let base = Url::parse("http://a:81/b/c?d").unwrap();
            if let Ok(url) = join(&base, &location) {
                prop_assert!(url.target().starts_with('/'));
            }
        }
    }
}
