//! One HTTP exchange with a running daemon's admin side, without a client at hand.

use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

use super::Failure;

/// The answers asked for have some kilobytes at most.
const MAX_ANSWER_BYTES: u64 = 64 << 10;

/// What is asked.
pub(super) struct Question<'a> {
    /// `http://HOST:PORT/PATH`
    pub url: &'a str,
    /// The bearer token, if there is one.
    pub token: Option<&'a str>,
    /// Posted as JSON; `None` for a GET.
    pub body: Option<&'a str>,
    /// For connecting, and for the whole answer.
    pub patience: Duration,
}

/// Status and body of the answer.
pub(super) fn ask(question: &Question<'_>) -> Result<(String, String), Failure> {
    let url = question.url;
    let (authority, path) = parts(url).ok_or_else(|| {
        Failure::usage(format_args!(
            "--url: http://HOST:PORT/PATH expected, not {url:?}"
        ))
    })?;
    let answer = exchange(question, authority, path)
        .map_err(|why| Failure::failed(format_args!("{url}: {why}")))?;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let status = head.split_ascii_whitespace().nth(1).unwrap_or_default();
    Ok((status.to_owned(), body.trim_end().to_owned()))
}

/// Host with port, and path.
fn parts(url: &str) -> Option<(&str, &str)> {
    let rest = url.strip_prefix("http://")?;
    let split = rest.find('/').unwrap_or(rest.len());
    let (authority, path) = (rest.get(..split)?, rest.get(split..)?);
    let fits = authority.contains(':') && url.bytes().all(|b| b.is_ascii_graphic());
    fits.then_some((authority, if path.is_empty() { "/" } else { path }))
}

fn exchange(question: &Question<'_>, authority: &str, path: &str) -> std::io::Result<String> {
    let method = if question.body.is_some() {
        "POST"
    } else {
        "GET"
    };
    let mut request =
        format!("{method} {path} HTTP/1.1\r\nHost: {authority}\r\nConnection: close\r\n");
    // Writing to a string does not fail.
    if let Some(token) = question.token {
        let _ = write!(request, "Authorization: Bearer {token}\r\n");
    }
    if let Some(body) = question.body {
        let _ = write!(
            request,
            "Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
    } else {
        request.push_str("\r\n");
    }
    let mut last = std::io::Error::other("the name has no address");
    for address in authority.to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, question.patience) {
            Ok(mut stream) => {
                stream.set_read_timeout(Some(question.patience))?;
                stream.set_write_timeout(Some(question.patience))?;
                stream.write_all(request.as_bytes())?;
                let mut answer = Vec::new();
                stream.take(MAX_ANSWER_BYTES).read_to_end(&mut answer)?;
                return Ok(String::from_utf8_lossy(&answer).into_owned());
            }
            Err(why) => last = why,
        }
    }
    Err(last)
}
