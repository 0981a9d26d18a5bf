//! Who may ask.

use std::net::IpAddr;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use subtle::ConstantTimeEq;

use super::Shared;
use super::answer::Failure;

/// Everything but health and readiness needs the token, if there is one.
pub(super) async fn with_token(
    State(site): State<Shared>,
    request: Request,
    next: Next,
) -> Response {
    let Some(token) = &site.config.token else {
        return next.run(request).await;
    };
    let given = request
        .headers()
        .get(header::AUTHORIZATION)
        .map(|value| value.as_bytes())
        .and_then(|value| value.split_at_checked("bearer ".len()))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case(b"bearer "))
        .map(|(_, given)| given);
    let right = given.is_some_and(|given| given.ct_eq(token.expose()).into());
    if right {
        next.run(request).await
    } else {
        Failure::new(StatusCode::UNAUTHORIZED, "a bearer token is needed").into_response()
    }
}

/// A web page that the operator happens to have open must not reach the admin
/// side through his browser: not by posting (its origin is told), and not by a
/// name of its own that points here (the host is told).
pub(super) async fn from_here(
    State(site): State<Shared>,
    request: Request,
    next: Next,
) -> Response {
    let headers = request.headers();
    if request.method() != axum::http::Method::GET && headers.contains_key(header::ORIGIN) {
        let what = "requests of web pages are not taken";
        return Failure::new(StatusCode::FORBIDDEN, what).into_response();
    }
    if site.config.token.is_none() && !host_is_local(headers) {
        let what = "without a token, the host must be an address or localhost";
        return Failure::new(StatusCode::FORBIDDEN, what).into_response();
    }
    next.run(request).await
}

fn host_is_local(headers: &HeaderMap) -> bool {
    let Some(host) = headers.get(header::HOST) else {
        // No browser leaves it out.
        return true;
    };
    let Ok(host) = host.to_str() else {
        return false;
    };
    // Without the port; an IPv6 address stands in brackets.
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next(),
        None => host.split(':').next(),
    };
    name.is_some_and(|name| {
        name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok()
    })
}
