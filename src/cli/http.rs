//! HTTP exchanges with a running daemon's admin side, without a client at hand.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

use super::Failure;
use super::progress::Progress;

/// Answers that are taken as a whole have some kilobytes at most.
const MAX_ANSWER_BYTES: u64 = 256 << 10;
/// The head of an answer.
const MAX_HEAD_BYTES: u64 = 16 << 10;
/// A file is sent in pieces of so many bytes.
const PIECE_BYTES: usize = 64 << 10;

/// What goes with a question.
pub(super) enum Body<'a> {
    /// A GET.
    None,
    /// Posted as JSON.
    Json(&'a str),
    /// Posted as CSV, piece by piece; and how far that has got.
    Csv(&'a File, &'a mut Progress),
}

/// What is asked.
pub(super) struct Question<'a> {
    /// `http://HOST:PORT/PATH`
    pub url: String,
    /// The bearer token, if there is one.
    pub token: Option<&'a str>,
    /// GET or POST, and what of.
    pub body: Body<'a>,
    /// For connecting, and for each step of the exchange.
    pub patience: Duration,
}

/// An answer whose body is still to be read.
pub(super) struct Answer {
    /// Three digits.
    pub status: String,
    length: Option<u64>,
    stream: BufReader<TcpStream>,
}

/// Status and body of the answer.
pub(super) fn ask(question: Question<'_>) -> Result<(String, String), Failure> {
    let url = question.url.clone();
    let mut answer = open(question)?;
    let text = answer
        .text()
        .map_err(|why| Failure::failed(format_args!("{url}: {why}")))?;
    Ok((answer.status, text))
}

/// The answer, up to its body.
pub(super) fn open(question: Question<'_>) -> Result<Answer, Failure> {
    let url = question.url.clone();
    let (authority, path) = parts(&url).ok_or_else(|| {
        Failure::usage(format_args!(
            "--url: http://HOST:PORT/PATH expected, not {url:?}"
        ))
    })?;
    exchange(question, authority, path).map_err(|why| Failure::failed(format_args!("{url}: {why}")))
}

/// Host with port, and path.
fn parts(url: &str) -> Option<(&str, &str)> {
    let rest = url.strip_prefix("http://")?;
    let split = rest.find('/').unwrap_or(rest.len());
    let (authority, path) = (rest.get(..split)?, rest.get(split..)?);
    let fits = authority.contains(':') && url.bytes().all(|b| b.is_ascii_graphic());
    fits.then_some((authority, if path.is_empty() { "/" } else { path }))
}

fn exchange(question: Question<'_>, authority: &str, path: &str) -> io::Result<Answer> {
    let method = match question.body {
        Body::None => "GET",
        Body::Json(_) | Body::Csv(..) => "POST",
    };
    let mut head =
        format!("{method} {path} HTTP/1.1\r\nHost: {authority}\r\nConnection: close\r\n");
    // Writing to a string does not fail.
    if let Some(token) = question.token {
        let _ = write!(head, "Authorization: Bearer {token}\r\n");
    }
    match &question.body {
        Body::None => head.push_str("\r\n"),
        Body::Json(text) => {
            let _ = write!(
                head,
                "Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{text}",
                text.len()
            );
        }
        // A refusal comes before a large file has gone for nothing.
        Body::Csv(file, _) => {
            let _ = write!(
                head,
                "Content-Type: text/csv\r\nContent-Length: {}\r\nExpect: 100-continue\r\n\r\n",
                file.metadata()?.len()
            );
        }
    }
    let mut stream = connect(authority, question.patience)?;
    stream.get_mut().write_all(head.as_bytes())?;
    let answer = read_head(stream)?;
    let Body::Csv(file, progress) = question.body else {
        return Ok(answer);
    };
    if answer.status != "100" {
        return Ok(answer);
    }
    let mut stream = answer.stream;
    // Refused half-way, the reason can still be read.
    let sending = send(file, stream.get_mut(), progress);
    match (read_head(stream), sending) {
        (Ok(answer), _) => Ok(answer),
        (Err(_), Err(error)) | (Err(error), Ok(())) => Err(error),
    }
}

fn connect(authority: &str, patience: Duration) -> io::Result<BufReader<TcpStream>> {
    let mut last = io::Error::other("the name has no address");
    for address in authority.to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, patience) {
            Ok(stream) => {
                stream.set_read_timeout(Some(patience))?;
                stream.set_write_timeout(Some(patience))?;
                return Ok(BufReader::with_capacity(PIECE_BYTES, stream));
            }
            Err(why) => last = why,
        }
    }
    Err(last)
}

fn send(mut file: &File, to: &mut TcpStream, progress: &mut Progress) -> io::Result<()> {
    let mut piece = vec![0; PIECE_BYTES];
    let mut bytes = 0;
    loop {
        let read = file.read(&mut piece)?;
        if read == 0 {
            return Ok(());
        }
        to.write_all(piece.get(..read).unwrap_or_default())?;
        bytes += u64::try_from(read).unwrap_or_default();
        progress.at(bytes);
    }
}

/// Status line and headers.
fn read_head(mut stream: BufReader<TcpStream>) -> io::Result<Answer> {
    let mut head = (&mut stream).take(MAX_HEAD_BYTES);
    let mut line = String::new();
    let mut status = None;
    let mut length = None;
    loop {
        line.clear();
        if head.read_line(&mut line)? == 0 {
            return Err(io::Error::other("no whole answer came"));
        }
        let text = line.trim_end();
        if status.is_none() {
            status = text.split_ascii_whitespace().nth(1).map(str::to_owned);
        } else if text.is_empty() {
            break;
        } else if let Some((name, value)) = text.split_once(':') {
            if name.eq_ignore_ascii_case("content-length") {
                length = value.trim().parse().ok();
            } else if name.eq_ignore_ascii_case("transfer-encoding") {
                return Err(io::Error::other(
                    "an answer in chunks, which is not understood",
                ));
            }
        }
    }
    Ok(Answer {
        status: status.unwrap_or_default(),
        length,
        stream,
    })
}

impl Answer {
    /// The whole body, if it is short enough.
    pub fn text(&mut self) -> io::Result<String> {
        let most = self.length.unwrap_or(MAX_ANSWER_BYTES);
        let mut body = Vec::new();
        (&mut self.stream)
            .take(most.min(MAX_ANSWER_BYTES))
            .read_to_end(&mut body)?;
        Ok(String::from_utf8_lossy(&body).trim_end().to_owned())
    }

    /// The whole body, piece by piece.
    pub fn each_piece(&mut self, mut each: impl FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
        let mut left = self.length.unwrap_or(u64::MAX);
        while left > 0 {
            let piece = self.stream.fill_buf()?;
            if piece.is_empty() {
                return match self.length {
                    Some(_) => Err(io::Error::other("the answer broke off")),
                    None => Ok(()),
                };
            }
            let most = usize::try_from(left).unwrap_or(usize::MAX);
            let piece = piece.get(..most).unwrap_or(piece);
            each(piece)?;
            let len = piece.len();
            left -= len as u64;
            self.stream.consume(len);
        }
        Ok(())
    }
}
