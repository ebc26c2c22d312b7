//! The two cookies: of whoever is signed in, and of a sign-in under way.

use std::time::Duration;

use axum::http::{HeaderMap, HeaderValue, header};
use identity::SignInPlan;
use model::Secret;

/// How long a sign-in may be under way.
const UNDER_WAY: Duration = Duration::from_secs(600);
/// Longest cookie that is looked at, bytes.
const BYTES_MAX: usize = 4096;

/// Which cookie.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Cookie {
    Login,
    SignIn,
}

impl Cookie {
    const fn name(self, tls: bool) -> &'static str {
        // A browser takes `__Host-` only inside TLS, for the whole host and no other one.
        match (self, tls) {
            (Self::Login, true) => "__Host-narrows",
            (Self::Login, false) => "narrows",
            (Self::SignIn, true) => "__Host-narrows-signin",
            (Self::SignIn, false) => "narrows-signin",
        }
    }

    /// Its value; none if there are two, of which one is somebody else's.
    pub fn read(self, plan: &SignInPlan, headers: &HeaderMap) -> Option<Secret<String>> {
        let name = self.name(plan.is_tls());
        let all = headers.get_all(header::COOKIE).into_iter();
        let pairs = all.filter_map(|value| value.to_str().ok()).flat_map(|all| all.split(';'));
        let values = pairs.filter_map(|pair| {
            let (found, value) = pair.trim().split_once('=')?;
            (found == name).then_some(value)
        });
        let mut values = values.filter(|value| !value.is_empty() && value.len() <= BYTES_MAX);
        let value = values.next()?;
        values.next().is_none().then(|| Secret::new(value.to_owned()))
    }

    pub fn set(self, plan: &SignInPlan, value: &Secret<String>) -> Option<HeaderValue> {
        let age = match self {
            // As long as the browser runs; the gateway knows when it is over.
            Self::Login => String::new(),
            Self::SignIn => format!("; Max-Age={}", UNDER_WAY.as_secs()),
        };
        self.header(plan, value.expose(), &age)
    }

    pub fn clear(self, plan: &SignInPlan) -> Option<HeaderValue> {
        self.header(plan, "", "; Max-Age=0")
    }

    fn header(self, plan: &SignInPlan, value: &str, age: &str) -> Option<HeaderValue> {
        let (name, tls) = (self.name(plan.is_tls()), plan.is_tls());
        let secure = if tls { "; Secure" } else { "" };
        let text = format!("{name}={value}; Path=/; HttpOnly; SameSite=Lax{secure}{age}");
        let mut header = HeaderValue::from_str(&text).ok()?;
        header.set_sensitive(true);
        Some(header)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(url: &str) -> SignInPlan {
        SignInPlan::new(url.parse().unwrap())
    }

    fn sent(cookies: &[&'static str]) -> HeaderMap {
        let value = |cookie: &&'static str| (header::COOKIE, HeaderValue::from_static(cookie));
        cookies.iter().map(value).collect()
    }

    fn read(url: &str, cookies: &[&'static str]) -> Option<String> {
        Cookie::Login.read(&plan(url), &sent(cookies)).map(|value| value.expose().clone())
    }

    #[test]
    fn a_cookie_is_read_by_its_whole_name_and_once() {
        let http = "http://127.0.0.1:7070";
        assert_eq!(read(http, &["a=b; narrows=x"]).as_deref(), Some("x"));
        for cookies in [
            &["narrows=x; narrows=y"][..],
            &["narrows=x", "narrows=y"],
            &["narrows="],
            &["xnarrows=x"],
            &["narrows-signin=x"],
            &["__Host-narrows=x"],
            &[],
        ] {
            assert_eq!(read(http, cookies), None, "{cookies:?}");
        }
        assert_eq!(read("https://gw.example", &["narrows=x"]), None, "not what others could set");
        assert_eq!(read("https://gw.example", &["__Host-narrows=x"]).as_deref(), Some("x"));
    }

    #[test]
    fn cookies_are_for_this_host_and_no_script() {
        let value = Secret::new("x".to_owned());
        let text = |url: &str, which: Cookie| {
            which.set(&plan(url), &value).unwrap().to_str().unwrap().to_owned()
        };
        assert_eq!(
            text("https://gw.example", Cookie::Login),
            "__Host-narrows=x; Path=/; HttpOnly; SameSite=Lax; Secure"
        );
        assert_eq!(
            text("http://127.0.0.1:1", Cookie::SignIn),
            "narrows-signin=x; Path=/; HttpOnly; SameSite=Lax; Max-Age=600"
        );
    }
}
