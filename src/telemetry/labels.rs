//! Values of labels: closed sets, each with its text.

/// Declares a closed set of label values, each with its text.
macro_rules! labels {
    ($(#[$meta:meta])* $name:ident { $($(#[$doc:meta])* $value:ident = $text:literal,)+ }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name { $($(#[$doc])* $value,)+ }

        impl $name {
            /// Every one.
            pub const ALL: &[Self] = &[$(Self::$value),+];

            /// As the label's value.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$value => $text,)+ }
            }
        }
    };
}

labels! {
    /// Why a request was refused at the door.
    Refusal {
        /// Too much waits for the journal.
        Busy = "busy",
        /// The connection's own limit of requests under way.
        LinkLimit = "link_limit",
        /// The journal has its reserve only.
        NoSpace = "no_space",
        /// The daemon drains.
        Stopping = "stopping",
        /// Financial traffic before the sign-on that the link needs.
        NotSignedOn = "not_signed_on",
    }
}

labels! {
    /// Why an answer was not sent.
    KeptBack {
        /// Later than the link's limit.
        Late = "late",
        /// The connection was gone.
        NoPeer = "no_peer",
    }
}

labels! {
    /// What was wrong with a frame or a message.
    FrameFault {
        /// Longer than the link allows, or no length at all.
        Length = "length",
        /// Begun and not finished in time.
        Timeout = "timeout",
        /// Read, but not a message of the dialect: answered 30.
        Format = "format",
        /// Too broken to be answered.
        Unreadable = "unreadable",
        /// A message that is not for us (a response, for instance).
        Unexpected = "unexpected",
    }
}

labels! {
    /// How a connection ended.
    ConnectionEnd {
        /// The peer closed it.
        Closed = "closed",
        /// Nothing came for too long.
        Idle = "idle",
        /// A fault of framing.
        Frame = "frame",
        /// The peer did not read.
        SlowReader = "slow_reader",
        /// TLS was not agreed.
        Tls = "tls",
        /// An error of the socket.
        Error = "error",
        /// The link's limit of connections.
        TooMany = "too_many",
        /// The daemon stopped.
        Stopping = "stopping",
        /// The peer answered no echo of ours.
        NoEcho = "no_echo",
    }
}

labels! {
    /// A message that this side sends of itself.
    OwnMessage {
        /// Whether anybody is there.
        Echo = "echo",
        /// The bank's cutover.
        Cutover = "cutover",
        /// Our totals of a settlement date.
        Reconciliation = "reconciliation",
    }
}

labels! {
    /// What became of it.
    OwnOutcome {
        /// Sent for the first time.
        Sent = "sent",
        /// Sent again.
        Repeated = "repeated",
        /// Answered, and well.
        Accepted = "accepted",
        /// Answered with another DE 39.
        Refused = "refused",
        /// The network's figures are others.
        OutOfBalance = "out_of_balance",
        /// Answered in a way that says nothing.
        Malformed = "malformed",
        /// Not answered, however often it was sent.
        Unanswered = "unanswered",
        /// The dialect has no way to say it.
        Failed = "failed",
    }
}
