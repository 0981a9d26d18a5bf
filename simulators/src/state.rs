//! What a terminal remembers between two runs of the command: its next number,
//! and its last messages, so that they can be reversed and repeated.
//!
//! The file is readable by its owner alone. The PAN stands in it because a
//! repeat must carry it; it leaves with its message, after a few others. Tracks,
//! PIN blocks and chip data are never written.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::message::Message;
use crate::terminal::{after, stan_of_day};

/// Messages kept; the oldest goes first.
const KEPT: usize = 8;
/// Elements that are not written down: tracks, PIN, chip data, MACs.
const NEVER_KEPT: [u8; 8] = [34, 35, 36, 45, 52, 55, 64, 128];
const OWNER_ONLY: u32 = 0o600;

/// The state file cannot be used.
#[derive(Debug, Error)]
pub enum StateError {
    /// Opening, reading or writing failed.
    #[error("state file {}: {error}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// It is not what this program wrote.
    #[error("state file {} is damaged: remove it to start anew ({reason})", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
}

/// A message that was sent, and what is known of its answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sent {
    /// DE 39 of the answer; none if no answer came.
    pub code: Option<String>,
    /// DE 38 of the answer.
    pub approval: Option<String>,
    /// The request, without what must not be kept.
    pub request: Message,
}

/// The content of the file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct State {
    next_stan: Option<u32>,
    #[serde(default)]
    sent: Vec<Sent>,
}

impl State {
    /// Takes `count` numbers (DE 11) and returns the first.
    pub fn take_stans(&mut self, count: usize) -> u32 {
        let first = self.next_stan.unwrap_or_else(stan_of_day);
        let mut next = first;
        for _ in 0..count {
            next = after(next);
        }
        self.next_stan = Some(next);
        first
    }

    /// Remembers a message that is about to be sent.
    pub fn record(&mut self, request: &Message) {
        let mut request = request.clone();
        for de in NEVER_KEPT {
            request.unset(de);
        }
        self.sent.push(Sent {
            code: None,
            approval: None,
            request,
        });
        let surplus = self.sent.len().saturating_sub(KEPT);
        self.sent.drain(..surplus);
    }

    /// Adds the answer to the message that it belongs to.
    pub fn answered(&mut self, request: &Message, answer: &Message) {
        let same = |sent: &&mut Sent| {
            let kept = &sent.request;
            kept.mti() == request.mti()
                && kept.get(11) == request.get(11)
                && kept.get(7) == request.get(7)
        };
        if let Some(sent) = self.sent.iter_mut().rev().find(same) {
            sent.code = answer.response_code().map(str::to_owned);
            sent.approval = answer.get(38).map(str::to_owned);
        }
    }

    /// The last message that was sent.
    pub fn last(&self) -> Option<&Sent> {
        self.sent.last()
    }

    /// The last message that can be reversed: a financial one (02xx), the last
    /// of all or the one with that number.
    pub fn last_financial(&self, stan: Option<&str>) -> Option<&Sent> {
        self.sent.iter().rev().find(|sent| {
            sent.request.mti().starts_with("02")
                && stan.is_none_or(|s| sent.request.get(11) == Some(s))
        })
    }
}

/// Where state lies unless told otherwise: `gapless` in the user's state folder
/// (`XDG_STATE_HOME`, else `~/.local/state`), or in the temporary folder of a user
/// that has none.
pub(crate) fn folder() -> PathBuf {
    let set = |name| {
        std::env::var_os(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    set("XDG_STATE_HOME")
        .or_else(|| set("HOME").map(|home| home.join(".local/state")))
        .unwrap_or_else(std::env::temp_dir)
        .join("gapless")
}

/// Where a terminal's state lies.
#[derive(Clone, Debug)]
pub struct StateFile {
    path: PathBuf,
}

impl StateFile {
    /// The file at that path, which need not exist yet.
    pub fn at(path: &Path) -> StateFile {
        StateFile {
            path: path.to_owned(),
        }
    }

    /// The default place for a terminal: `pos-ID.toml` in the user's state folder.
    pub fn of_terminal(terminal: &str) -> StateFile {
        let id: String = terminal
            .trim()
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() { c } else { '_' })
            .collect();
        StateFile {
            path: folder().join(format!("pos-{id}.toml")),
        }
    }

    /// Reads the state, lets `change` work on it and writes it back, under a
    /// lock: two commands at once never take the same number.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn update<T>(&self, change: impl FnOnce(&mut State) -> T) -> Result<T, StateError> {
        let mut file = self.open().map_err(|e| self.failed(e))?;
        file.lock().map_err(|e| self.failed(e))?;
        let mut text = String::new();
        file.read_to_string(&mut text).map_err(|e| self.failed(e))?;
        let mut state: State = toml::from_str(&text).map_err(|e| self.damaged(e.message()))?;
        let result = change(&mut state);
        let text = toml::to_string(&state).map_err(|e| self.damaged(&e.to_string()))?;
        file.rewind()
            .and_then(|()| file.set_len(0))
            .and_then(|()| file.write_all(text.as_bytes()))
            .map_err(|e| self.failed(e))?;
        Ok(result)
    }

    fn open(&self) -> io::Result<File> {
        if let Some(folder) = self.path.parent() {
            fs::create_dir_all(folder)?;
        }
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(OWNER_ONLY)
            .open(&self.path)?;
        // The mode above holds for a new file alone.
        file.set_permissions(fs::Permissions::from_mode(OWNER_ONLY))?;
        Ok(file)
    }

    fn failed(&self, error: io::Error) -> StateError {
        StateError::Io {
            path: self.path.clone(),
            error,
        }
    }

    fn damaged(&self, reason: &str) -> StateError {
        StateError::Damaged {
            path: self.path.clone(),
            reason: reason.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::card::DemoCard;
    use crate::terminal::{Network, Profile, Till};

    fn till() -> Till {
        Till::numbered_from(Profile::default(), 7)
    }

    #[test]
    fn state_survives_and_is_the_owners_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new/pos.toml");
        let file = StateFile::at(&path);
        let mut request = till().purchase(&DemoCard::regular(17).unwrap(), 5).unwrap();
        request.set(52, "0123456789abcdef").unwrap();
        request.set(35, "9410000000000170=3012").unwrap();
        let first = file.update(|state| {
            state.record(&request);
            state.take_stans(3)
        });
        let first = first.unwrap();
        let text = fs::read_to_string(&path).unwrap();
        assert!(!text.contains("0123456789abcdef"), "PIN block in {text}");
        assert!(!text.contains("=3012"), "track in {text}");
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            OWNER_ONLY
        );
        let mut answer = Message::new("0210");
        answer.set(39, "00").unwrap().set(38, "A1").unwrap();
        let (next, sent) = file
            .update(|state| {
                state.answered(&request, &answer);
                (state.take_stans(1), state.last().cloned().unwrap())
            })
            .unwrap();
        assert_eq!(next, after(after(after(first))));
        assert_eq!(sent.code.as_deref(), Some("00"));
        assert_eq!(sent.approval.as_deref(), Some("A1    "));
        assert_eq!(sent.request.get(2), request.get(2));
        assert_eq!((sent.request.get(52), sent.request.get(35)), (None, None));
    }

    #[test]
    fn the_oldest_messages_go() {
        let mut state = State::default();
        let mut till = till();
        for _ in 0..20 {
            state.record(&till.network(Network::Echo).unwrap());
        }
        assert_eq!(state.sent.len(), KEPT);
        assert_eq!(state.last().unwrap().request.get(11), Some("000026"));
        assert_eq!(state.last_financial(None), None);
    }

    #[test]
    fn only_a_financial_message_is_reversed() {
        let mut state = State::default();
        let mut till = till();
        let card = DemoCard::regular(17).unwrap();
        let first = till.purchase(&card, 1).unwrap();
        let second = till.purchase(&card, 2).unwrap();
        let reversal = till.reversal(&second, None, None).unwrap();
        for message in [&first, &second, &reversal] {
            state.record(message);
        }
        assert_eq!(state.last().unwrap().request, reversal);
        assert_eq!(state.last_financial(None).unwrap().request, second);
        assert_eq!(state.last_financial(Some("000007")).unwrap().request, first);
        assert_eq!(state.last_financial(Some("000099")), None);
    }

    #[test]
    fn a_damaged_file_is_refused_and_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pos.toml");
        fs::write(&path, "not a state").unwrap();
        let error = StateFile::at(&path)
            .update(|state| state.take_stans(1))
            .unwrap_err();
        assert!(matches!(error, StateError::Damaged { .. }), "{error}");
        assert_eq!(fs::read_to_string(&path).unwrap(), "not a state");
    }

    #[test]
    fn commands_at_once_take_different_numbers() {
        let folder = tempfile::tempdir().unwrap();
        let file = StateFile::at(&folder.path().join("pos.toml"));
        let threads: Vec<_> = (0..4)
            .map(|_| {
                let file = file.clone();
                std::thread::spawn(move || {
                    (0..25)
                        .map(|_| file.update(|s| s.take_stans(1)).unwrap())
                        .collect::<Vec<_>>()
                })
            })
            .collect();
        let mut all: Vec<u32> = threads
            .into_iter()
            .flat_map(|t| t.join().unwrap())
            .collect();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), 100);
    }
}
