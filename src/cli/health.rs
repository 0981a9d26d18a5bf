//! `gapless health`: a GET for container health checks, without a client at hand.

use std::io::{Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

use super::{Failure, say};

const TIMEOUT: Duration = Duration::from_secs(3);
/// The answers asked for have some hundred bytes.
const MAX_ANSWER_BYTES: u64 = 64 << 10;

pub(super) fn health(url: &str) -> Result<(), Failure> {
    let (authority, path) = parts(url).ok_or_else(|| {
        Failure::usage(format_args!(
            "--url: http://HOST:PORT/PATH expected, not {url:?}"
        ))
    })?;
    let answer =
        get(authority, path).map_err(|why| Failure::failed(format_args!("{url}: {why}")))?;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let status = head.split_ascii_whitespace().nth(1).unwrap_or_default();
    if status == "200" {
        say(body.trim_end());
        Ok(())
    } else {
        let body = body.split_whitespace().collect::<Vec<_>>().join(" ");
        Err(Failure::failed(format_args!(
            "{url}: status {status:?}: {body}"
        )))
    }
}

/// Host with port, and path.
fn parts(url: &str) -> Option<(&str, &str)> {
    let rest = url.strip_prefix("http://")?;
    let split = rest.find('/').unwrap_or(rest.len());
    let (authority, path) = (rest.get(..split)?, rest.get(split..)?);
    let fits = authority.contains(':') && url.bytes().all(|b| b.is_ascii_graphic());
    fits.then_some((authority, if path.is_empty() { "/" } else { path }))
}

fn get(authority: &str, path: &str) -> std::io::Result<String> {
    let mut last = std::io::Error::other("the name has no address");
    for address in authority.to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, TIMEOUT) {
            Ok(mut stream) => {
                stream.set_read_timeout(Some(TIMEOUT))?;
                stream.set_write_timeout(Some(TIMEOUT))?;
                write!(
                    stream,
                    "GET {path} HTTP/1.1\r\nHost: {authority}\r\nConnection: close\r\n\r\n"
                )?;
                let mut answer = Vec::new();
                stream.take(MAX_ANSWER_BYTES).read_to_end(&mut answer)?;
                return Ok(String::from_utf8_lossy(&answer).into_owned());
            }
            Err(why) => last = why,
        }
    }
    Err(last)
}
