//! `GET /v1/cards/{last four or token}`: never a PAN, neither in nor out.

use axum::Json;
use axum::extract::{Path, State};
use gapless_engine::CardView;
use gapless_engine::command::CardStatus;
use serde_json::{Value, json};

use super::answer::Failure;
use super::{Shared, Site};
use crate::runner::MAX_ROWS;

/// Cards that one answer lists.
const MAX_CARDS: usize = 256;

/// What tells a token from digits of a card.
const TOKEN_PREFIX: &str = "c-";

enum Wanted {
    LastFour(u16),
    Token(u64),
}

pub(super) async fn cards(
    State(site): State<Shared>,
    Path(text): Path<String>,
) -> Result<Json<Value>, Failure> {
    match wanted(&text) {
        // What was asked with is not repeated: it may be a PAN.
        None => Err(Failure::bad_request(
            "a card is asked for by its last four digits or its token, never by its PAN",
        )),
        Some(Wanted::Token(token)) => {
            let found = site.read(move |engine| engine.card_by_token(token)).await?;
            let card = found.ok_or_else(|| Failure::not_found("there is no such card"))?;
            Ok(Json(told(&card)))
        }
        Some(Wanted::LastFour(last4)) => {
            let (cards, more) = scan(&site, last4).await?;
            let cards: Vec<Value> = cards.iter().map(told).collect();
            Ok(Json(json!({ "cards": cards, "more": more })))
        }
    }
}

fn wanted(text: &str) -> Option<Wanted> {
    if let Some(token) = text.strip_prefix(TOKEN_PREFIX) {
        let right = token.len() == 16 && token.bytes().all(|b| b.is_ascii_hexdigit());
        return right
            .then(|| u64::from_str_radix(token, 16).ok().map(Wanted::Token))
            .flatten();
    }
    let right = text.len() == 4 && text.bytes().all(|b| b.is_ascii_digit());
    right
        .then(|| text.parse().ok().map(Wanted::LastFour))
        .flatten()
}

/// All cards, 256 a turn, payments between them; the flag tells that there are more.
async fn scan(site: &Site, last4: u16) -> Result<(Vec<CardView>, bool), Failure> {
    let _one = site
        .scanning
        .acquire()
        .await
        .map_err(|_| Failure::unavailable("stopping"))?;
    let step = u32::try_from(MAX_ROWS).unwrap_or(u32::MAX);
    let mut found: Vec<CardView> = Vec::new();
    let mut from = 0u32;
    loop {
        let to = from.saturating_add(step);
        let (cards, len) = site
            .read(move |engine| {
                let cards = engine.cards(from..to).filter(|card| card.last4 == last4);
                (cards.collect::<Vec<_>>(), engine.cards_len())
            })
            .await?;
        found.extend(cards);
        if found.len() > MAX_CARDS {
            found.truncate(MAX_CARDS);
            return Ok((found, true));
        }
        if to >= len {
            return Ok((found, false));
        }
        from = to;
    }
}

fn told(card: &CardView) -> Value {
    json!({
        "card": format!("{:06}******{:04}", card.bin, card.last4),
        "token": format!("{TOKEN_PREFIX}{:016x}", card.token),
        "expiry": format!("{:04}", card.expiry.yymm()),
        "status": match card.status {
            CardStatus::Active => "active",
            CardStatus::Lost => "lost",
            CardStatus::Stolen => "stolen",
            CardStatus::Blocked => "blocked",
        },
        "account": card.account.as_str(),
    })
}
