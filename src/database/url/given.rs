//! A URL as it was given, without its passwords: for a command to paste.

use super::parameters::parameters;

/// The text of a URL without its passwords. Everything else is as it was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct GivenUrl {
    pub(crate) text: String,
    /// Whether the password of the role was left out.
    pub(crate) lacks_password: bool,
    /// Whether `sslpassword`, the password of the key, was left out.
    pub(crate) lacks_key_password: bool,
}

impl GivenUrl {
    /// Takes the parts of a URL apart as the parser does, which found no error in it.
    pub(super) fn of(url: &str) -> Self {
        let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
        let (authority, tail) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
        let (location, query) = tail.split_once('?').unwrap_or((tail, ""));
        let (login, place) = authority.split_at(authority.rfind('@').unwrap_or(0));
        let (user, password) = login.split_once(':').unwrap_or((login, ""));
        let pairs = || query.split('&').filter(|pair| !pair.is_empty());
        let has = |pair: &str, wanted: &str| parameters(pair).any(|(name, _)| name == wanted);
        let kept: Vec<_> = pairs().filter(|pair| !has(pair, "password") && !has(pair, "sslpassword")).collect();
        let mark = if kept.is_empty() { "" } else { "?" };
        let lacks = |wanted: &str| parameters(query).any(|(name, value)| name == wanted && !value.is_empty());
        Self {
            text: format!("{scheme}://{user}{place}{location}{mark}{}", kept.join("&")),
            lacks_password: !password.is_empty() || lacks("password"),
            lacks_key_password: lacks("sslpassword"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::database::url::DatabaseUrl;

    fn given(url: &str) -> GivenUrl {
        url.parse::<DatabaseUrl>().expect("a sound URL").given().expect("it is a URL")
    }

    #[test]
    fn only_passwords_are_left_out() {
        for (url, text) in [
            ("postgresql://tarsy:hunter2@db/d", "postgresql://tarsy@db/d"),
            ("postgresql+asyncpg://:hunter2@[::1]:7/d", "postgresql+asyncpg://@[::1]:7/d"),
            ("postgres://a%40b:hunter2@a:1,b:2/d?sslmode=require", "postgres://a%40b@a:1,b:2/d?sslmode=require"),
            ("postgresql://u@h/d?password=hunter2", "postgresql://u@h/d"),
            (
                "postgresql://u@/d?host=%2Frun&pass%77ord=hunter2&connect_timeout=7",
                "postgresql://u@/d?host=%2Frun&connect_timeout=7",
            ),
        ] {
            let expected = GivenUrl { text: text.to_owned(), lacks_password: true, lacks_key_password: false };
            assert_eq!(given(url), expected, "{url}");
        }
        let key = given("postgresql://u@h/d?sslkey=k&sslpassword=hunter2&sslmode=verify-full&sslrootcert=/etc/ca.pem");
        assert_eq!(key.text, "postgresql://u@h/d?sslkey=k&sslmode=verify-full&sslrootcert=/etc/ca.pem");
        assert_eq!((key.lacks_password, key.lacks_key_password), (false, true));
    }

    #[test]
    fn a_url_without_a_password_is_given_as_it_is() {
        for url in
            ["postgresql://u@h:7/d?connect_timeout=7&application_name=a+b", "postgresql://h", "sqlite:////a/b.db"]
        {
            let expected = GivenUrl { text: url.to_owned(), lacks_password: false, lacks_key_password: false };
            assert_eq!(given(url), expected, "{url}");
        }
    }
}
