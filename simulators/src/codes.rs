//! The meanings that people look up: message types, processing codes, response
//! codes, network codes (FIELD.md, Response codes and Data elements).

/// A response code (DE 39, ISO 8583:1987) in words.
pub fn response(code: &str) -> &'static str {
    match code {
        "00" => "approved",
        "01" => "refer to card issuer",
        "03" => "invalid merchant",
        "04" => "pick up card",
        "05" => "do not honour",
        "10" => "approved for a partial amount",
        "12" => "invalid transaction",
        "13" => "invalid amount",
        "14" => "no such card",
        "25" => "original not located",
        "30" => "format error",
        "41" => "lost card",
        "43" => "stolen card",
        "51" => "insufficient funds",
        "54" => "expired card",
        "55" => "wrong PIN",
        "57" => "not permitted to cardholder",
        "61" => "amount limit exceeded",
        "65" => "count limit exceeded",
        "68" => "response received too late",
        "75" => "PIN tries exceeded",
        "76" => "to-account invalid",
        "77" => "from-account invalid",
        "78" => "account invalid",
        "89" => "MAC error",
        "90" => "cut-off in process",
        "91" => "issuer unavailable",
        "92" => "no route",
        "94" => "duplicate transmission",
        "96" => "system malfunction",
        _ => "unknown response code",
    }
}

/// A processing code (DE 3) in words, by its first two digits.
pub fn processing(code: &str) -> &'static str {
    match code.get(..2) {
        Some("00") => "purchase",
        Some("01") => "cash",
        Some("03") => "pre-authorisation",
        Some("09") => "purchase with cashback",
        Some("20") => "refund",
        Some("23") => "credit adjustment",
        Some("30" | "31") => "balance inquiry",
        Some("38") => "mini-statement",
        Some("40") => "transfer",
        _ => "unknown",
    }
}

/// A network management code (DE 70) in words.
pub fn network(code: &str) -> &'static str {
    match code {
        "001" => "sign-on",
        "002" => "sign-off",
        "161" | "162" => "key change",
        "201" => "cutover",
        "301" => "echo",
        _ => "unknown",
    }
}

/// A message type in words.
pub fn message_type(mti: &str) -> String {
    let class = match mti.get(1..2) {
        Some("1") => "authorisation",
        Some("2") => "financial",
        Some("4") => "reversal",
        Some("5") => "reconciliation",
        Some("8") => "network management",
        _ => "unknown",
    };
    let function = match mti.get(2..3) {
        Some("0") => " request",
        Some("1") => " response",
        Some("2") => " advice",
        Some("3") => " advice response",
        _ => "",
    };
    let repeat = match mti.get(3..4) {
        Some("1" | "3" | "5") => ", repeat",
        _ => "",
    };
    format!("{class}{function}{repeat}")
}
