//! What all pages look like.

use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use identity::NotSignedIn;
use maud::{DOCTYPE, Markup, html};
use model::Timestamp;

use super::visitor::Visitor;
use crate::error::ApiError;

/// A page.
pub(super) struct Page<'a> {
    pub title: &'a str,
    pub visitor: Option<&'a Visitor>,
    pub body: Markup,
}

impl Page<'_> {
    pub fn render(self) -> Html<String> {
        let Self { title, visitor, body } = self;
        let page = html! {
            (DOCTYPE)
            html lang="en" {
                head {
                    meta charset="utf-8";
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    meta name="color-scheme" content="light dark";
                    title { (title) " · Narrows" }
                    link rel="icon" type="image/svg+xml" href="/icon.svg";
                    link rel="stylesheet" href="/style.css";
                }
                body {
                    header {
                        a.brand href="/" {
                            img src="/icon.svg" alt="" width="22" height="22";
                            "Narrows"
                        }
                        @if let Some(visitor) = visitor {
                            span.who {
                                (called(visitor))
                                @if let Some(role) = visitor.caller.role() {
                                    span.role { (role.as_str()) }
                                }
                            }
                            form method="post" action="/logout" {
                                (csrf(visitor))
                                button.plain type="submit" { "Sign out" }
                            }
                        }
                    }
                    main { (body) }
                }
            }
        };
        Html(page.into_string())
    }
}

impl IntoResponse for Page<'_> {
    fn into_response(self) -> Response {
        self.render().into_response()
    }
}

/// What somebody is called on their own pages.
pub(super) fn called(visitor: &Visitor) -> &str {
    visitor.login.name.as_deref().unwrap_or(&visitor.login.subject)
}

/// The word that a form of theirs has.
pub(super) fn csrf(visitor: &Visitor) -> Markup {
    html! { input type="hidden" name="csrf" value=(visitor.csrf); }
}

/// Something that cannot be shown or done.
pub(super) struct Trouble {
    status: StatusCode,
    words: String,
    advice: Option<String>,
}

impl Trouble {
    pub fn new(status: StatusCode, words: impl Into<String>) -> Self {
        Self { status, words: words.into(), advice: None }
    }

    pub fn advice(mut self, advice: impl Into<String>) -> Self {
        self.advice = Some(advice.into());
        self
    }
}

impl From<ApiError> for Trouble {
    fn from(error: ApiError) -> Self {
        let mut trouble = Self::new(error.status(), sentence(error.message()));
        trouble.advice = error.advice().map(sentence);
        trouble
    }
}

impl From<NotSignedIn> for Trouble {
    fn from(not: NotSignedIn) -> Self {
        let status = match not {
            NotSignedIn::TooMany => StatusCode::TOO_MANY_REQUESTS,
            NotSignedIn::Unreachable(_) | NotSignedIn::Kept(_) => StatusCode::SERVICE_UNAVAILABLE,
            NotSignedIn::State | NotSignedIn::Method => StatusCode::BAD_REQUEST,
            _ => StatusCode::FORBIDDEN,
        };
        let (words, advice) = not.words();
        Self::new(status, words).advice(advice)
    }
}

impl IntoResponse for Trouble {
    fn into_response(self) -> Response {
        let body = html! {
            section.card.trouble {
                h1 { "That did not work" }
                p { (self.words) }
                @if let Some(advice) = &self.advice { p.muted { (advice) } }
                p.actions { a.button href="/" { "To the first page" } }
            }
        };
        let page = Page { title: "That did not work", visitor: None, body };
        (self.status, page.render()).into_response()
    }
}

/// Words of the API as a sentence.
fn sentence(words: &str) -> String {
    let mut chars = words.chars();
    let first: String = chars.next().into_iter().flat_map(char::to_uppercase).collect();
    let end = if words.ends_with(['.', '!', '?']) { "" } else { "." };
    format!("{first}{}{end}", chars.as_str())
}

/// Sends the browser elsewhere, to look at it.
pub(super) fn see(place: &str) -> Response {
    match HeaderValue::from_str(place) {
        Ok(place) => (StatusCode::SEE_OTHER, [(header::LOCATION, place)]).into_response(),
        Err(_) => {
            Trouble::new(StatusCode::BAD_REQUEST, "This address cannot be opened.").into_response()
        }
    }
}

/// What a browser may do with a page: show it, with our one style sheet, and send forms to us. A
/// form may lead to `origins` besides (browsers follow the policy into redirects).
pub(super) fn policy(origins: &[String]) -> HeaderValue {
    let sound =
        |origin: &&String| origin.bytes().all(|byte| byte.is_ascii_graphic() && byte != b';');
    let more: String = origins.iter().filter(sound).map(|origin| format!(" {origin}")).collect();
    let text = format!(
        "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'{more}; \
         frame-ancestors 'none'; base-uri 'none'"
    );
    HeaderValue::from_str(&text).unwrap_or(HeaderValue::from_static("default-src 'none'"))
}

/// A header of a response, if it can be one.
pub(super) fn with(
    mut response: Response,
    headers: impl IntoIterator<Item = (HeaderName, Option<HeaderValue>)>,
) -> Response {
    for (name, value) in headers {
        if let Some(value) = value {
            response.headers_mut().append(name, value);
        }
    }
    response
}

/// A moment as people read it, and how far it is from now.
pub(super) fn moment(at: Timestamp, now: Timestamp) -> Markup {
    let text = jiff::Timestamp::from_nanosecond(i128::from(at.0))
        .map(|time| time.strftime("%-d %b %Y, %H:%M:%S UTC").to_string());
    let far = match at >= now {
        true => format!("in {}", length(at.since(now).as_secs())),
        false => format!("{} ago", length(now.since(at).as_secs())),
    };
    html! {
        time datetime=(crate::words::format_time(at)) { (text.unwrap_or_default()) }
        " " span.muted { "(" (far) ")" }
    }
}

fn length(seconds: u64) -> String {
    let units = [(86_400, "day"), (3_600, "hour"), (60, "minute"), (1, "second")];
    let fits = units.into_iter().find(|(unit, _)| seconds >= *unit);
    let (unit, name) = fits.unwrap_or((1, "second"));
    let count = seconds / unit;
    format!("{count} {name}{}", if count == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_read_by_people() {
        for (seconds, words) in [
            (0, "0 seconds"),
            (1, "1 second"),
            (59, "59 seconds"),
            (60, "1 minute"),
            (7_300, "2 hours"),
            (90_000, "1 day"),
        ] {
            assert_eq!(length(seconds), words);
        }
    }

    #[test]
    fn a_policy_cannot_be_widened_by_what_a_provider_is_called() {
        let odd = ["https://a.example".to_owned(), "https://b;script-src *".to_owned()];
        let text = policy(&odd);
        let text = text.to_str().unwrap();
        assert!(text.contains("form-action 'self' https://a.example;"), "{text}");
        assert!(!text.contains("script"), "{text}");
    }

    #[test]
    fn what_others_wrote_is_shown_and_not_obeyed() {
        let trouble = Trouble::new(StatusCode::BAD_REQUEST, "<script>alert(1)</script>");
        let body = html! { p { (trouble.words) } };
        let page = Page { title: "<b>", visitor: None, body }.render().0;
        assert!(page.contains("&lt;script&gt;"), "{page}");
        assert!(!page.contains("<script") && !page.contains("<b>"), "{page}");
    }
}
