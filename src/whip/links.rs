//! ICE servers in `Link` headers (RFC 9725, 4.6; RFC 8288), as another server sends them. Pure.

use crate::signalling::protocol::IceServer;

/// More than these are not looked at.
const MOST: usize = 16;

/// The STUN and TURN servers of `Link` headers; links of other kinds, and what cannot be read, are none.
pub fn ice_servers<'a>(headers: impl Iterator<Item = &'a str>) -> Vec<IceServer> {
    headers
        .flat_map(links)
        .filter_map(server)
        .take(MOST)
        .collect()
}

/// The links of one header: commas part them, outside of quotes and angle brackets.
fn links(header: &str) -> Vec<&str> {
    parts(header, ',')
}

fn server(link: &str) -> Option<IceServer> {
    let (url, parameters) = link.strip_prefix('<')?.split_once('>')?;
    let is_server = ["stun:", "stuns:", "turn:", "turns:"]
        .iter()
        .any(|scheme| url.starts_with(scheme));
    let parameters: Vec<_> = parts(parameters, ';')
        .into_iter()
        .filter_map(|parameter| parameter.split_once('='))
        .map(|(name, value)| (name.trim(), value.trim().trim_matches('"')))
        .collect();
    let value = |wanted: &str| {
        let found = parameters
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case(wanted));
        found.map(|(_, value)| (*value).to_owned())
    };
    let (username, credential) = (value("username"), value("credential"));
    let can_be_used = url.starts_with("stun") || (username.is_some() && credential.is_some());
    let is_ice = value("rel").as_deref() == Some("ice-server");
    (is_server && is_ice && can_be_used).then(|| IceServer {
        urls: vec![url.to_owned()],
        username,
        credential,
    })
}

/// The parts of a text between separators, without those in quotes or angle brackets.
fn parts(text: &str, separator: char) -> Vec<&str> {
    let (mut is_quoted, mut is_url) = (false, false);
    let separates = |letter: char| {
        match letter {
            '"' if !is_url => is_quoted = !is_quoted,
            '<' if !is_quoted => is_url = true,
            '>' if !is_quoted => is_url = false,
            _ => {}
        }
        letter == separator && !is_quoted && !is_url
    };
    text.split(separates).map(str::trim).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_servers_of_links_are_read_with_their_credentials() {
        let headers = [
            "<stun:stun.example.net>; rel=\"ice-server\", <https://example.net/>; rel=\"help\"",
            "<turn:turn.example.net?transport=udp>; rel=\"ice-server\"; username=\"a,b;c\"; \
             credential=\"se=cret\"; credential-type=\"password\"",
            "<turns:nobody.example.net>; rel=ice-server",
            "<ftp:example.net>; rel=ice-server",
            "garbage, <stun:cut",
        ];
        let servers = ice_servers(headers.into_iter());
        let urls: Vec<_> = servers
            .iter()
            .map(|server| server.urls[0].as_str())
            .collect();
        assert_eq!(
            urls,
            [
                "stun:stun.example.net",
                "turn:turn.example.net?transport=udp"
            ]
        );
        assert_eq!(servers[1].username.as_deref(), Some("a,b;c"));
        assert_eq!(servers[1].credential.as_deref(), Some("se=cret"));
    }
}
